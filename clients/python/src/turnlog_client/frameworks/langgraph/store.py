"""LangGraph's long-term store: a namespace is a session, every change of a key is a record in it."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from turnlog_client import calls
from turnlog_client.aio import AsyncClient
from turnlog_client.client import Client
from turnlog_client.frameworks.history import retracted
from turnlog_client.frameworks.langgraph.items import (
    ITEM,
    TOUCH,
    Kept,
    Namespace,
    Shelf,
    grown,
    is_meant,
    listed,
    matches,
)
from turnlog_client.frameworks.langgraph.records import Cache, Gone, body_of, current, stored
from turnlog_client.frameworks.packing import comes_back, size_of
from turnlog_client.ids import as_id, name_of
from turnlog_client.steps import Steps, arun, ask, run, settled

PREFIX = "langgraph.store."
VALUE_BYTES = 64 * 1024
"""A value up to this long stands in the head of its record as it is; a longer one is packed into its body."""
CACHE_BYTES = 64 * 1024 * 1024
REFRESHED_AT = 0.9
"""A life is prolonged by a read once this much of it, or less, is left: not by every read."""


class TurnlogStore(BaseStore):
    """Values by namespace and key in Turnlog, shared by any number of processes.

    Made with a `Client` it serves all methods, from any thread and event loop; with an `AsyncClient` only the
    asynchronous ones, on its loop. Deleting hides: the log's history keeps what was stored. There is no index of
    meanings: `search(query=…)` raises NotImplementedError, and `index` is without effect.
    """

    supports_ttl = True

    def __init__(
        self, client: Client | AsyncClient, *, ttl: TTLConfig | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """`cache_bytes` bounds the records that are kept so as not to be read again."""
        self.ttl_config = ttl
        self._client = client
        self._shelves: Cache[Shelf] = Cache(cache_bytes)
        self._known: dict[str, Namespace] = {}
        self._lock = Lock()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The results of all operations, in order: reads first, then the changes, those of a namespace all or none."""
        return run(self._client, self._batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """The results of all operations, in order: reads first, then the changes, those of a namespace all or none."""
        return await settled(arun(self._client, self._batch(list(ops))))

    def _batch(self, ops: Sequence[Op]) -> Steps[list[Result]]:
        results: list[Result] = []
        changes: dict[Namespace, dict[str, PutOp]] = defaultdict(dict)
        for op in ops:
            validate_op_namespace(op)
            result: Result = None
            if isinstance(op, GetOp):
                result = yield from self._get(op)
            elif isinstance(op, SearchOp):
                result = yield from self._search(op)
            elif isinstance(op, ListNamespacesOp):
                result = listed((yield from self._namespaces(op)), op)
            else:
                changes[op.namespace].pop(op.key, None)
                changes[op.namespace][op.key] = op
            results.append(result)
        for namespace, puts in changes.items():
            yield from self._change(namespace, list(puts.values()))
        return results

    def _shelf(self, namespace: Namespace) -> Steps[Shelf]:
        return current(self._shelves, _session_of(namespace), ITEM, Shelf(), grown)

    def _get(self, op: GetOp) -> Steps[Item | None]:
        kept = (yield from self._shelf(op.namespace)).keys.get(op.key)
        if kept is None or not kept.lives(time.time()):
            return None
        if op.refresh_ttl:
            yield from self._refreshed(op.namespace, kept)
        value = yield from self._value(op.namespace, kept)
        return None if value is None else Item(value=value, **_fields(op.namespace, kept))

    def _search(self, op: SearchOp) -> Steps[list[SearchItem]]:
        if op.query:
            raise NotImplementedError(
                "TurnlogStore keeps no index of meanings: search with filter=, or keep embeddings in a vector store"
            )
        found: list[tuple[Namespace, Kept, dict[str, Any]]] = []
        depth = len(op.namespace_prefix)
        for namespace in (yield from self._known_namespaces()):
            if namespace[:depth] != tuple(op.namespace_prefix):
                continue
            for kept in (yield from self._shelf(namespace)).living(time.time()):
                value = yield from self._value(namespace, kept)
                if value is not None and all(
                    matches(value.get(key), wanted) for key, wanted in (op.filter or {}).items()
                ):
                    found.append((namespace, kept, value))
        found.sort(key=lambda each: each[1].updated_at, reverse=True)
        page = found[op.offset : op.offset + op.limit]
        for namespace, kept, _ in page if op.refresh_ttl else ():
            yield from self._refreshed(namespace, kept)
        return [SearchItem(value=value, **_fields(namespace, kept)) for namespace, kept, value in page]

    def _namespaces(self, op: ListNamespacesOp) -> Steps[list[Namespace]]:
        """The namespaces that meet the conditions and hold anything."""
        found: list[Namespace] = []
        for namespace in (yield from self._known_namespaces()):
            if is_meant(namespace, op.match_conditions) and (yield from self._shelf(namespace)).living(time.time()):
                found.append(namespace)
        return found

    def _known_namespaces(self) -> Steps[list[Namespace]]:
        """Every namespace that was ever written to. Sessions are listed newest first, up to one that is known."""
        cursor: str | None = None
        found: dict[str, Namespace] = {}
        while True:
            page = yield from ask(calls.sessions(cursor, agent_id=ITEM))
            ids = [session["session_id"] for session in page["sessions"]]
            fresh = [session_id for session_id in ids if session_id not in self._known]
            for session_id in fresh:
                found[session_id] = yield from self._namespace_of(session_id)
            cursor = page["next_cursor"]
            if cursor is None or len(fresh) < len(ids):
                break
        with self._lock:  # all at once: what is known must reach back to the first
            self._known = {**self._known, **found}
        return list(self._known.values())

    def _namespace_of(self, session_id: str) -> Steps[Namespace]:
        name = name_of(session_id, PREFIX)
        if name is not None:
            return tuple(name.split("."))
        call = calls.read_session(session_id, "turns", agent_id=ITEM, limit=1, fresh=True)
        turns = (yield from ask(call))["turns"]
        return tuple(turns[0]["content"][0]["namespace"]) if turns else ()

    def _value(self, namespace: Namespace, kept: Kept) -> Steps[dict[str, Any] | None]:
        """A value, a copy of its own; None when it was deleted since its key was read."""
        head = kept.record.head
        if "value" in head:
            value: dict[str, Any] = json.loads(json.dumps(head["value"]))
            return value
        try:
            found: dict[str, Any] = json.loads((yield from body_of(_session_of(namespace), kept.record)))
        except Gone:
            return None
        return found

    def _refreshed(self, namespace: Namespace, kept: Kept) -> Steps[None]:
        minutes = kept.record.head.get("ttl")
        if minutes is None or kept.expires_at is None:
            return
        now = time.time()
        if kept.expires_at - now <= REFRESHED_AT * minutes * 60:
            head = {"type": TOUCH, "key": kept.record.head["key"], "expires_at": now + minutes * 60}
            yield from stored(_session_of(namespace), ITEM, [(head, None)])

    def _change(self, namespace: Namespace, puts: Sequence[PutOp]) -> Steps[None]:
        session_id = _session_of(namespace)
        gone = [put.key for put in puts if put.value is None]
        shelf = (yield from self._shelf(namespace)) if gone else Shelf()
        made = [_record(namespace, put) for put in puts if put.value is not None or put.key in shelf.keys]
        yield from stored(session_id, ITEM, made)
        spans = [span for key in gone if key in shelf.keys for span in shelf.keys[key].spans]
        yield from retracted(session_id, spans, "delete")


def _session_of(namespace: Namespace) -> str:
    return as_id(".".join(namespace), PREFIX)


def _fields(namespace: Namespace, kept: Kept) -> dict[str, Any]:
    return {
        "key": kept.record.head["key"],
        "namespace": namespace,
        "created_at": _moment(kept.created_at),
        "updated_at": _moment(kept.updated_at),
    }


def _moment(recorded_at: str) -> datetime:
    return datetime.fromisoformat(recorded_at.replace("Z", "+00:00"))


def _record(namespace: Namespace, put: PutOp) -> tuple[dict[str, Any], bytes | None]:
    """The head and the body of a change. Raises TypeError or ValueError for a value that is not JSON."""
    head: dict[str, Any] = {"type": ITEM, "namespace": list(namespace), "key": put.key}
    if put.value is None:
        return {**head, "deleted": True}, None
    if put.ttl is not None:
        head |= {"ttl": put.ttl, "expires_at": time.time() + put.ttl * 60}
    value: Mapping[str, Any] = dict(put.value)
    text = json.dumps(value, allow_nan=False)
    if comes_back(value) and size_of(value) <= VALUE_BYTES:
        return {**head, "value": value}, None
    return head, text.encode()
