"""What LangGraph's checkpointer does, as steps of calls: thread in, checkpoints out. `saver` takes them."""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from turnlog_client import calls
from turnlog_client.frameworks.history import session_ids
from turnlog_client.frameworks.langgraph.records import (
    Cache,
    Gone,
    Record,
    body_of,
    current,
    stored,
)
from turnlog_client.frameworks.langgraph.threads import (
    CHECKPOINT,
    WRITES,
    Place,
    Thread,
    grown,
    parent_of,
    place_of,
)
from turnlog_client.ids import as_id, name_of
from turnlog_client.steps import Steps, ask

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

PREFIX = "langgraph.thread."


class Chosen(NamedTuple):
    """A checkpoint, and its thread as it was when it was found."""

    thread_id: str
    thread: Thread
    record: Record


class ThreadSteps:
    """The steps; whoever takes them gives the serializer and the cache."""

    serde: SerializerProtocol
    _threads: Cache[Thread]

    def _thread(self, thread_id: str) -> Steps[Thread]:
        return current(self._threads, as_id(thread_id, PREFIX), CHECKPOINT, Thread(), grown)

    def tuple_of(self, config: "RunnableConfig") -> Steps[CheckpointTuple | None]:
        """The checkpoint that `config` names, or its namespace's latest; None when there is none."""
        thread_id, namespace = _named(config)
        while True:
            thread = yield from self._thread(thread_id)
            record = thread.at(namespace, get_checkpoint_id(config))
            found = (yield from self.loaded(Chosen(thread_id, thread, record))) if record else None
            if found or not record:
                return found

    def loaded(self, chosen: "Chosen") -> Steps[CheckpointTuple | None]:
        """A checkpoint with its state and writes; None when it was hidden since it was chosen."""
        try:
            return (yield from self._loaded(*chosen))
        except Gone:
            return None

    def _loaded(self, thread_id: str, thread: Thread, record: Record) -> Steps[CheckpointTuple]:
        place, parent = place_of(record), parent_of(record)
        checkpoint = yield from self._state(thread_id, record)
        values: dict[int, list[tuple[str, bytes]]] = {}
        pending: list[tuple[str, str, Any]] = []
        for write in thread.pending(place):
            if write.record.version not in values:
                values[write.record.version] = _values((yield from body_of(as_id(thread_id, PREFIX), write.record)))
            value = self.serde.loads_typed(values[write.record.version][write.number])
            pending.append((write.task_id, write.channel, value))
        return CheckpointTuple(
            config=_config(thread_id, place),
            checkpoint=checkpoint,
            metadata=self._metadata(record),
            parent_config=_config(thread_id, parent) if parent else None,
            pending_writes=pending,
        )

    def _state(self, thread_id: str, record: Record) -> Steps[Checkpoint]:
        body = yield from body_of(as_id(thread_id, PREFIX), record)
        checkpoint: Checkpoint = self.serde.loads_typed((record.head["kind"], body))
        return checkpoint

    def _metadata(self, record: Record) -> CheckpointMetadata:
        kind, data = record.head["metadata"]
        metadata: CheckpointMetadata = self.serde.loads_typed((kind, base64.b64decode(data)))
        return metadata

    def chosen(
        self,
        config: "RunnableConfig | None",
        wanted: dict[str, Any] | None,
        before: "RunnableConfig | None",
        limit: int | None,
    ) -> Steps[Sequence["Chosen"]]:
        """Which checkpoints a list has, latest first."""
        named: dict[str, Any] = config["configurable"] if config else {}
        thread_ids = [named["thread_id"]] if config else (yield from self._thread_ids())
        only, end = named.get("checkpoint_id"), get_checkpoint_id(before) if before else None
        found: list[Chosen] = []
        for thread_id in thread_ids:
            thread = yield from self._thread(thread_id)
            for (namespace, checkpoint_id), record in thread.checkpoints.items():
                if named.get("checkpoint_ns") not in (None, namespace) or checkpoint_id != (only or checkpoint_id):
                    continue
                if end is not None and checkpoint_id >= end:
                    continue
                if wanted and not _matches(self._metadata(record), wanted):
                    continue
                found.append(Chosen(thread_id, thread, record))
        found.sort(key=lambda chosen: str(chosen.record.head["id"]), reverse=True)
        return found if limit is None else found[: max(0, limit)]

    def _thread_ids(self) -> Steps[Sequence[str]]:
        """Every thread of the tenant that ever had a checkpoint, the one begun last first."""
        found: list[str] = []
        for session_id in (yield from session_ids(CHECKPOINT)):
            found += yield from _names_of(session_id)
        return found

    def checkpoint_stored(
        self, config: "RunnableConfig", checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> "Steps[RunnableConfig]":
        """Store a checkpoint; the config that names it."""
        thread_id, namespace = _named(config)
        place = (namespace, checkpoint["id"])
        about = self.serde.dumps_typed(get_checkpoint_metadata(config, metadata))
        yield from self._store_checkpoint(thread_id, place, get_checkpoint_id(config), about, checkpoint)
        return _config(thread_id, place)

    def _store_checkpoint(
        self, thread_id: str, place: Place, parent: str | None, about: tuple[str, bytes], checkpoint: Checkpoint
    ) -> Steps[None]:
        kind, body = self.serde.dumps_typed(checkpoint)
        head = {
            "type": CHECKPOINT,
            "thread_id": thread_id,
            "ns": place[0],
            "id": place[1],
            "parent": parent,
            "metadata": [about[0], base64.b64encode(about[1]).decode()],
            "kind": kind,
        }
        yield from stored(as_id(thread_id, PREFIX), CHECKPOINT, [(head, body)])

    def writes_stored(
        self, config: "RunnableConfig", writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps[None]:
        """Store what a task wrote after a checkpoint."""
        thread_id, namespace = _named(config)
        head = {
            "type": WRITES,
            "thread_id": thread_id,
            "ns": namespace,
            "id": config["configurable"]["checkpoint_id"],
            "task_id": task_id,
            "task_path": task_path,
            "writes": [[WRITES_IDX_MAP.get(channel, index), channel] for index, (channel, _) in enumerate(writes)],
        }
        values = [self.serde.dumps_typed(value) for _, value in writes]
        body = json.dumps([[kind, base64.b64encode(data).decode()] for kind, data in values]).encode()
        yield from stored(as_id(thread_id, PREFIX), CHECKPOINT, [(head, body)])


def _names_of(session_id: str) -> Steps[Sequence[str]]:
    """The thread of a session; none when only its hash is left in the id and nothing in the session."""
    name = name_of(session_id, PREFIX)
    if name is not None:
        return [name]
    page = yield from ask(calls.read_session(session_id, "turns", agent_id=CHECKPOINT, limit=1, fresh=True))
    return [each["content"][0]["thread_id"] for each in page["turns"]]


def _named(config: "RunnableConfig") -> tuple[str, str]:
    """The thread and the namespace."""
    named = config["configurable"]
    return str(named["thread_id"]), named.get("checkpoint_ns") or ""


def _config(thread_id: str, place: Place) -> "RunnableConfig":
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": place[0], "checkpoint_id": place[1]}}


def _values(body: bytes) -> list[tuple[str, bytes]]:
    """The values of a record of writes, as the serializer takes them."""
    return [(kind, base64.b64decode(data)) for kind, data in json.loads(body)]


def _matches(metadata: CheckpointMetadata, wanted: dict[str, Any]) -> bool:
    return all(metadata.get(key) == value for key, value in wanted.items())
