"""Records in a session: a small JSON object, the head, and a body of any size. Steps over the client, and pure parts.

A record is one turn, or several of one request: its body, packed, in pieces that fit a turn, and right behind them the
head. What no single request holds is sent before, and named by its versions. A record is there when its head is; pieces
without one are nobody's. Heads and pieces are told apart by `agent_id`, so that heads can be read alone.

The role is `tool`: of all roles the one without authority, should anybody put such a session into a prompt.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from turnlog_client import calls
from turnlog_client.errors import TurnlogError
from turnlog_client.frameworks.history import History, Span, appended_groups, pages
from turnlog_client.frameworks.packing import packed, pieces, size_of, unpacked
from turnlog_client.steps import Steps, ask
from turnlog_client.turns import turn

PIECES = "langgraph.piece"
"""The `agent_id` of turns that are pieces of a body."""
INLINE_CHARS = 4_096
"""A packed body up to this long stands in the head itself: it is read whenever heads are."""
PIECE_CHARS = 200_000
REQUEST_PIECES = 32
V = TypeVar("V")
F = TypeVar("F", bound="Fold")


class Gone(TurnlogError):
    """A record's body was retracted after its head was read."""


@dataclass(frozen=True)
class Record:
    """A record in its session: the version of its head, the head, and when it was stored (RFC 3339)."""

    version: int
    head: Mapping[str, Any]
    recorded_at: str

    @property
    def spans(self) -> list[Span]:
        """Every version it takes."""
        body = self.head.get("body") or {}
        return [*map(_span, body.get("earlier", ())), (self.version - body.get("pieces", 0), self.version)]


def stored(session_id: str, writer: str, records: Sequence[tuple[Mapping[str, Any], bytes | None]]) -> Steps[None]:
    """Store records (head and body) in order, all or none as far as one request holds them (7 MiB); `writer` is the
    `agent_id` of the heads."""
    groups: list[list[dict[str, Any]]] = []
    for head, body in records:
        groups.append((yield from _group(session_id, writer, head, body)))
    yield from appended_groups(session_id, groups)


def _group(session_id: str, writer: str, head: Mapping[str, Any], body: bytes | None) -> Steps[list[dict[str, Any]]]:
    """The turns of a record that are stored together. What they cannot hold is stored now."""
    if body is None:
        return [_head_turn(writer, head)]
    text = packed(body)
    if len(text) <= INLINE_CHARS:
        return [_head_turn(writer, {**head, "body": {"data": text}})]
    rest, earlier = pieces(text, PIECE_CHARS), []
    while len(rest) > REQUEST_PIECES:
        batch, rest = rest[:REQUEST_PIECES], rest[REQUEST_PIECES:]
        placed = yield from ask(calls.store_many(session_id, list(map(_piece_turn, batch)), None))
        earlier.append([placed[0].version, placed[-1].version])
    whole = {**head, "body": {"pieces": len(rest), "earlier": earlier}}
    return [*map(_piece_turn, rest), _head_turn(writer, whole)]


def body_of(session_id: str, record: Record) -> Steps[bytes]:
    """The body of a record. Raises `Gone` when it was retracted meanwhile."""
    body = record.head["body"]
    if "data" in body:
        return unpacked(body["data"])
    texts: list[str] = []
    *earlier, (start, end) = record.spans
    for first, last in [*earlier, (start, end - 1)]:
        while first <= last:
            call = calls.read_session(
                session_id,
                "turns",
                after_version=first - 1,
                before_version=last + 1,
                limit=min(last - first + 1, REQUEST_PIECES),
                fresh=True,
            )
            found = (yield from ask(call))["turns"]
            if not found or found[0]["version"] != first:
                raise Gone(f"session {session_id}: what version {record.version} needs was retracted")
            texts += [each["content"][0]["data"] for each in found]
            first = found[-1]["version"] + 1
    return unpacked("".join(texts))


def heads(session_id: str, writer: str, after_version: int) -> Steps[tuple[History, list[Record]]]:
    """The records whose heads stand after a version, in order."""
    found = yield from pages(session_id, after_version, agent_id=writer)
    return found, [Record(each["version"], each["content"][0], each["recorded_at"]) for each in found.turns]


class Fold(Protocol):
    """What records were folded to: up to which version of the session, and at which of its revisions."""

    @property
    def version(self) -> int:
        """The session's version."""

    @property
    def revision(self) -> int:
        """The session's revision."""


class Cache(Generic[V]):
    """What was read of each session, the sessions used last, up to `bytes_max` of heads. From any thread."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, session_id: str) -> tuple[V, int] | None:
        """What is kept and its size in bytes; None when nothing is."""
        with self._lock:
            if session_id in self._kept:
                self._kept.move_to_end(session_id)
            return self._kept.get(session_id)

    def put(self, session_id: str, value: V, size: int) -> None:
        """Keep this instead of what was kept."""
        with self._lock:
            self._bytes += size - self._kept.pop(session_id, (value, 0))[1]
            self._kept[session_id] = (value, size)
            while self._bytes > self._bytes_max:
                self._bytes -= self._kept.popitem(last=False)[1][1]


def current(
    cache: Cache[F], session_id: str, writer: str, nothing: F, grown: Callable[[F, Sequence[Record], int, int], F]
) -> Steps[F]:
    """What a session's records fold to now: `grown` of what is kept (first: `nothing`), new records, version and
    revision. Only what came since the last look is read, unless something was retracted."""
    known, size = cache.get(session_id) or (nothing, 0)
    found, records = yield from heads(session_id, writer, known.version)
    if known.version and (found.revision, found.version >= known.version) != (known.revision, True):
        known, size = nothing, 0
        found, records = yield from heads(session_id, writer, 0)
    fold = grown(known, records, found.version, found.revision)
    cache.put(session_id, fold, size + sum(size_of(record.head) for record in records))
    return fold


def _head_turn(writer: str, head: Mapping[str, Any]) -> dict[str, Any]:
    return turn("tool", [head], agent_id=writer)


def _piece_turn(data: str) -> dict[str, Any]:
    return turn("tool", [{"type": PIECES, "data": data}], agent_id=PIECES)


def _span(pair: Sequence[int]) -> Span:
    return pair[0], pair[1]
