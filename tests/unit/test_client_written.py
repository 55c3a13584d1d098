"""What a client wrote, its reads ask for: pure."""

from typing import Any

import httpx
import pytest

from turnlog_client import (
    ApiError,
    AuthenticationError,
    Client,
    Conflict,
    NotFound,
    PermissionDenied,
    Placed,
    RateLimited,
    as_id,
)
from turnlog_client.calls import Call, checked, read, read_session, retract, store
from turnlog_client.errors import api_error
from turnlog_client.ids import name_of
from turnlog_client.transport import address, options
from turnlog_client.written import Written


def placed(version: int) -> Placed:
    return Placed("t", "main", version, version, "now", False)


def asked(written: Written, **params: Any) -> dict[str, Any]:
    return dict(written.applied(read_session("s", "turns", **params)).params)


def answered(version: int, source: str = "redis") -> dict[str, Any]:
    return {"version": version, "source": source}


def test_a_read_asks_for_what_was_written_until_the_read_model_has_shown_it() -> None:
    written = Written()
    assert asked(written, limit=5) == {"limit": 5}
    written.note(store("s", {}, None), placed(3))
    written.note(store("s", {}, None), [placed(5), placed(4)])
    assert asked(written, limit=5) == {"limit": 5, "min_version": 5, "wait_ms": 250}
    assert asked(written, wait_ms=9) == {"min_version": 5, "wait_ms": 9}
    written.note(read_session("s"), answered(4))
    written.note(read_session("s"), answered(9, "postgres"))
    assert asked(written)["min_version"] == 5
    written.note(read_session("s"), answered(5))
    assert asked(written) == {}


def test_after_a_retraction_reads_are_fresh_for_it_has_no_version() -> None:
    written = Written()
    written.note(retract("s", 1, 2), {})
    written.note(store("s", {}, None), placed(3))
    written.note(read_session("s"), answered(3))
    assert asked(written) == {"fresh": True}


def test_what_the_caller_asks_for_stays() -> None:
    written = Written()
    written.wrote("s", 7)
    assert asked(written, min_version=2) == {"min_version": 2}
    assert asked(written, fresh=False) == {"fresh": False}
    assert written.applied(read("/v1/tasks/k")).params == {}


def test_only_the_sessions_written_to_last_are_remembered() -> None:
    written = Written(sessions_max=2)
    for number, session in enumerate(("a", "b", "s", "c"), 1):
        written.wrote(session, number)
    assert asked(written)["min_version"] == 3
    assert written.applied(read_session("a")).params == {}
    written.forget("s")
    assert asked(written) == {}
    off = Written(0)
    off.wrote("s", 4)
    assert asked(off) == {}


class Scripted(httpx.MockTransport):
    """Answers from a list, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.asked: list[httpx.Request] = []
        left = list(answers)

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return left.pop(0)

        super().__init__(answer)


def test_a_log_that_lost_what_was_written_is_said_once_and_then_read_as_it_is() -> None:
    place = {"turn_id": "t", "log": "main", "position": 9, "version": 9, "recorded_at": "now", "duplicate": False}
    lost = {"error": {"code": "version_not_reached", "message": "the session is at version 2", "param": "min_version"}}
    transport = Scripted(
        httpx.Response(201, json=place),
        httpx.Response(409, json=lost),
        httpx.Response(200, json={"turns": [], "version": 2, "source": "redis"}),
    )
    with Client("http://turnlog", transport=transport) as client:
        client.store("s", "user", "hello")
        with pytest.raises(Conflict, match="version 2"):
            client.turns("s")
        assert client.turns("s")["version"] == 2
    assert [dict(request.url.params) for request in transport.asked] == [
        {},
        {"min_version": "9", "wait_ms": "250"},
        {},
    ]


def test_reads_may_be_left_as_they_are() -> None:
    place = {"turn_id": "t", "log": "main", "position": 9, "version": 9, "recorded_at": "now", "duplicate": False}
    transport = Scripted(httpx.Response(201, json=place), httpx.Response(200, json={"turns": []}))
    with Client("http://turnlog", transport=transport, read_your_writes=False) as client:
        client.store("s", "user", "hello")
        client.turns("s")
    assert dict(transport.asked[1].url.params) == {}


def test_errors_say_what_program_and_operator_need() -> None:
    body = {"error": {"code": "session_not_found", "message": "session s does not exist", "param": "session_id"}}
    response = httpx.Response(404, json=body, headers={"request-id": "r-1"})
    with pytest.raises(NotFound) as found:
        checked(response)
    assert (found.value.code, found.value.param, found.value.request_id) == ("session_not_found", "session_id", "r-1")
    assert "r-1" in str(found.value)
    kinds = {
        401: AuthenticationError,
        403: PermissionDenied,
        404: NotFound,
        409: Conflict,
        412: Conflict,
        422: ApiError,
    }
    assert {status: type(api_error(status, "c", "m")) for status in kinds} == kinds
    with pytest.raises(RateLimited) as limited:
        checked(httpx.Response(429, json=body, headers={"retry-after": "3"}))
    assert (limited.value.retry_after_s, limited.value.status, limited.value.outcome_unknown) == (3.0, 429, False)


def test_address_and_key_come_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNLOG_URL", raising=False)
    monkeypatch.delenv("TURNLOG_API_KEY", raising=False)
    assert address(None) == "http://127.0.0.1:8080"
    assert "authorization" not in options("http://127.0.0.1:1", 5)["headers"]
    monkeypatch.setenv("TURNLOG_URL", "https://memory.example.org/")
    monkeypatch.setenv("TURNLOG_API_KEY", "tl_env")
    assert address(None) == "https://memory.example.org"
    assert address("http://here/") == "http://here"
    assert options("http://127.0.0.1:1", 5)["headers"]["authorization"] == "Bearer tl_env"
    assert options("http://127.0.0.1:1", 5, "tl_own")["headers"]["authorization"] == "Bearer tl_own"
    assert "authorization" not in options("http://127.0.0.1:1", 5, "")["headers"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("trip", "trip"),
        ("user@example.org:42", "user@example.org:42"),
        ("my trip/2026", "my+20trip+2F2026"),
        ("a+b#c", "a+2Bb+23c"),
        ("日", "+E6+97+A5"),
        ("\0\ud800", "+00+ED+A0+80"),
        ("", "+"),
        (".", "+2E"),
        ("..", "+2E+2E"),
    ],
)
def test_any_text_becomes_an_id_and_comes_back(name: str, made: str) -> None:
    assert as_id(name) == made
    assert as_id(name, "p.").startswith("p.")
    assert name_of(as_id(name, "p."), "p.") == name


def test_long_names_keep_their_beginning_and_stay_apart() -> None:
    one, other = as_id("x" * 500 + "1"), as_id("x" * 500 + "2")
    assert one != other
    assert len(one) == len(other) == 200
    assert one.startswith("xxx")
    assert name_of(one) is None
    assert name_of("made+FFotherwise") is None
    assert len(as_id("日" * 66)) == 200
    assert len(as_id("日" * 22)) == 198


def test_a_call_remembers_its_session() -> None:
    call: Call[Any] = store("s", {"role": "user", "content": "x"}, None)
    assert (call.session_id, call.kind) == ("s", "store")
