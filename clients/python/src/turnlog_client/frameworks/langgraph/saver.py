"""LangGraph's checkpointer: a thread is a session, every checkpoint and every task's writes are a record in it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from turnlog_client.aio import AsyncClient
from turnlog_client.client import Client
from turnlog_client.frameworks.langgraph.records import Cache
from turnlog_client.frameworks.langgraph.thread_upkeep import ThreadUpkeep
from turnlog_client.steps import arun, run, settled

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

CACHE_BYTES = 32 * 1024 * 1024


class TurnlogSaver(ThreadUpkeep, BaseCheckpointSaver[int]):
    """Checkpoints of any graph in Turnlog, shared by any number of processes.

    Made with a `Client` it serves `invoke` and `ainvoke`, from any thread and event loop; with an `AsyncClient` only
    the asynchronous methods, on its loop. Every read shows all that was acknowledged before. Deleting hides: the log's
    history keeps what was stored. Methods raise the client's `ApiError` and `Unavailable`.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        serde: SerializerProtocol | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`cache_bytes` bounds the heads of records (some 500 bytes each) that are kept so as not to be read again."""
        BaseCheckpointSaver.__init__(self, serde=serde)
        self._client = client
        self._threads = Cache(cache_bytes)

    def get_tuple(self, config: "RunnableConfig") -> CheckpointTuple | None:
        """The checkpoint that `config` names, or its namespace's latest."""
        return run(self._client, self.tuple_of(config))

    async def aget_tuple(self, config: "RunnableConfig") -> CheckpointTuple | None:
        """The checkpoint that `config` names, or its namespace's latest."""
        return await arun(self._client, self.tuple_of(config))

    def list(
        self,
        config: "RunnableConfig | None",
        *,
        filter: dict[str, Any] | None = None,
        before: "RunnableConfig | None" = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, latest first; their states are read one by one as the iteration goes on."""
        for chosen in run(self._client, self.chosen(config, filter, before, limit)):
            if found := run(self._client, self.loaded(chosen)):
                yield found

    async def alist(
        self,
        config: "RunnableConfig | None",
        *,
        filter: dict[str, Any] | None = None,
        before: "RunnableConfig | None" = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, latest first; their states are read one by one as the iteration goes on."""
        for chosen in await arun(self._client, self.chosen(config, filter, before, limit)):
            if found := await arun(self._client, self.loaded(chosen)):
                yield found

    def put(
        self,
        config: "RunnableConfig",
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> "RunnableConfig":
        """Store a checkpoint whole; the config that names it."""
        return run(self._client, self.checkpoint_stored(config, checkpoint, metadata))

    async def aput(
        self,
        config: "RunnableConfig",
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> "RunnableConfig":
        """Store a checkpoint whole; the config that names it."""
        return await settled(arun(self._client, self.checkpoint_stored(config, checkpoint, metadata)))

    def put_writes(
        self, config: "RunnableConfig", writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote after a checkpoint."""
        run(self._client, self.writes_stored(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: "RunnableConfig", writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote after a checkpoint."""
        await settled(arun(self._client, self.writes_stored(config, writes, task_id, task_path)))

    def delete_thread(self, thread_id: str) -> None:
        """Hide all there is of a thread."""
        run(self._client, self.thread_hidden(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """Hide all there is of a thread."""
        await settled(arun(self._client, self.thread_hidden(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Hide the checkpoints that these runs made, with their writes. Looks through every thread of the tenant."""
        run(self._client, self.runs_hidden(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Hide the checkpoints that these runs made, with their writes. Looks through every thread of the tenant."""
        await settled(arun(self._client, self.runs_hidden(run_ids)))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Store all checkpoints and writes of a thread once more, in another."""
        run(self._client, self.thread_copied(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Store all checkpoints and writes of a thread once more, in another."""
        await settled(arun(self._client, self.thread_copied(source_thread_id, target_thread_id)))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Hide all but each namespace's latest checkpoint (and those its delta channels are made from), or, with
        `delete`, everything."""
        run(self._client, self.pruned(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        await settled(arun(self._client, self.pruned(thread_ids, strategy)))
