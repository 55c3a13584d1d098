"""Calls as data: what to send, and how to read the answer. No network; both clients send what is made here."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from turnlog_client.errors import RateLimited, Unavailable, api_error
from turnlog_client.ids import new_turn_id
from turnlog_client.results import Placed
from turnlog_client.turns import with_turn_id

T = TypeVar("T")
JSON = "application/json"
NDJSON = "application/x-ndjson"
ENDED = ("done", "failed", "skipped")
"""States in which a task stays."""
READ, STORE, RETRACT = "read", "store", "retract"
"""What a call does to its session."""
_PASSING = (408, 429, 502, 503, 504, 507)
_UNKNOWN = (502, 504)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, safe to repeat, and the reader of its answer. `kind` is what it does to the session `session_id`;
    both are empty where it is no session's."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    session_id: str | None = None
    kind: str = ""


def encode(value: object) -> bytes:
    """JSON bytes; text stays readable. Raises ValueError for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def session_path(session_id: str, *rest: str) -> str:
    """The path of a session, its id encoded."""
    return "/".join(["/v1/sessions", quote(session_id, safe=""), *rest])


def _fields(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


def store(session_id: str, turn: Mapping[str, Any], if_version: int | None) -> Call[Placed]:
    """Store one turn."""
    headers = {"content-type": JSON, **_expected(if_version)}
    body = encode(with_turn_id(turn))
    path = session_path(session_id, "turns")
    return Call("POST", path, lambda r: Placed.of(r.json()), {}, headers, body, session_id, STORE)


def store_many(session_id: str, turns: Sequence[Mapping[str, Any]], if_version: int | None) -> "Call[list[Placed]]":
    """Store up to 1,000 turns of a session, all or nothing."""
    headers = {"content-type": JSON, **_expected(if_version)}
    body = encode({"turns": [with_turn_id(turn) for turn in turns]})

    def read(response: httpx.Response) -> list[Placed]:
        return [Placed.of(item) for item in response.json()["turns"]]

    return Call("POST", session_path(session_id, "turns"), read, {}, headers, body, session_id, STORE)


def load_chunk(body: bytes) -> "Call[list[dict[str, Any]]]":
    """Load NDJSON lines; one answer a line, in order."""

    def read(response: httpx.Response) -> list[dict[str, Any]]:
        return [json.loads(line) for line in response.content.split(b"\n") if line]

    return Call("POST", "/v1/turns", read, headers={"content-type": NDJSON}, body=body)


def retract(
    session_id: str, from_version: int, to_version: int, reason: str | None = None, key: str | None = None
) -> Call[dict[str, Any]]:
    """Hide turns from every read model. Under one `key` a session has one retraction: the same again answers
    `duplicate`, another is refused (409)."""
    params = _given(from_version=from_version, to_version=to_version, reason=reason)
    path = session_path(session_id, "turns")
    headers = {"idempotency-key": key or new_turn_id()}
    return Call("DELETE", path, _fields, params, headers, None, session_id, RETRACT)


def compress(session_id: str) -> Call[dict[str, Any]]:
    """Ask for a compression; the answer names the task."""
    return Call("POST", session_path(session_id, "compress"), _fields, headers={"idempotency-key": new_turn_id()})


def read(path: str, **params: object) -> Call[dict[str, Any]]:
    """Any read; parameters that are None are left out."""
    return Call("GET", path, _fields, _given(**params))


def read_session(session_id: str, *what: str, **params: object) -> Call[dict[str, Any]]:
    """A read of a session that may ask for a version at least."""
    path = session_path(session_id, *what)
    return Call("GET", path, _fields, _given(**params), session_id=session_id, kind=READ)


def sessions(cursor: str | None = None, limit: int | None = 1_000, **filters: str | None) -> Call[dict[str, Any]]:
    """One page of sessions, newest first."""
    return read("/v1/sessions", limit=limit, cursor=cursor, **filters)


def checked(response: httpx.Response) -> httpx.Response:
    """The response if it is a success. Raises `Unavailable` for a failure that may pass, else `ApiError`."""
    if response.is_success:
        return response
    code, message, param = _problem(response)
    request_id = response.headers.get("request-id")
    if response.status_code in _PASSING:
        failure = RateLimited if response.status_code == 429 else Unavailable
        raise failure(
            f"{message} ({response.status_code} {code})",
            outcome_unknown=response.status_code in _UNKNOWN,
            retry_after_s=_retry_after_s(response.headers.get("retry-after")),
            status=response.status_code,
            code=code,
            request_id=request_id,
        )
    raise api_error(response.status_code, code, message, param, request_id)


def unreachable(error: httpx.HTTPError, base_url: str) -> Unavailable:
    """The failure of a connection in our words; whether the request was on its way decides what is known."""
    never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    what = "cannot be reached" if never_sent else "did not answer"
    return Unavailable(f"{base_url} {what}: {str(error) or type(error).__name__}", outcome_unknown=not never_sent)


def _problem(response: httpx.Response) -> tuple[str, str, str | None]:
    try:
        error = response.json()["error"]
        return str(error["code"]), str(error["message"]), error.get("param")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "unknown", response.reason_phrase or "the server refused", None


def _retry_after_s(value: str | None) -> float | None:
    return float(value) if value is not None and value.isascii() and value.isdigit() else None


def _expected(if_version: int | None) -> dict[str, str]:
    return {} if if_version is None else {"if-match": f'"v{if_version}"'}


def _given(**params: object) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
