"""What takes checkpoints back, copies and prunes them, as steps of calls. `saver` takes them."""

from collections.abc import Collection, Sequence

from turnlog_client.frameworks.history import Span, all_retracted, retracted
from turnlog_client.frameworks.langgraph.records import Record, body_of, stored
from turnlog_client.frameworks.langgraph.thread_steps import PREFIX, ThreadSteps
from turnlog_client.frameworks.langgraph.threads import CHECKPOINT, Place, Thread, parent_of, place_of
from turnlog_client.ids import as_id
from turnlog_client.steps import Steps


class ThreadUpkeep(ThreadSteps):
    """The steps. What came to a thread after it was looked at is never touched."""

    def thread_hidden(self, thread_id: str) -> Steps[None]:
        """Hide every version there is of a thread."""
        return all_retracted(as_id(thread_id, PREFIX), "delete_thread")

    def runs_hidden(self, run_ids: Collection[str]) -> Steps[None]:
        """Hide the checkpoints that these runs made, and their writes, in every thread."""
        for thread_id in (yield from self._thread_ids()) if run_ids else ():
            thread = yield from self._thread(thread_id)
            spans: list[Span] = []
            for place, record in thread.checkpoints.items():
                if self._metadata(record).get("run_id") in run_ids:
                    spans += thread.spans(place)
            yield from retracted(as_id(thread_id, PREFIX), spans, "delete_for_runs")

    def thread_copied(self, source: str, target: str) -> Steps[None]:
        """Store every record of a thread in another, in order."""
        thread = yield from self._thread(source)
        records = [record for place in thread.records.values() for record in place]
        for record in sorted(records, key=lambda each: each.version):
            body = yield from body_of(as_id(source, PREFIX), record)
            yield from stored(as_id(target, PREFIX), CHECKPOINT, [({**record.head, "thread_id": target}, body)])

    def pruned(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        """Hide all but what each namespace's latest checkpoint needs, or, with `delete`, everything."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy {strategy!r}: must be keep_latest or delete")
        for thread_id in thread_ids:
            if strategy == "delete":
                yield from self.thread_hidden(thread_id)
                continue
            thread = yield from self._thread(thread_id)
            kept: set[Place] = set()
            for namespace in {space for space, _ in thread.checkpoints}:
                latest = thread.at(namespace, None)
                kept |= (yield from self._needed(thread_id, thread, latest)) if latest else set()
            spans = [span for place in thread.records.keys() - kept for span in thread.spans(place)]
            yield from retracted(as_id(thread_id, PREFIX), spans, "prune")

    def _needed(self, thread_id: str, thread: Thread, record: Record) -> Steps[set[Place]]:
        """A checkpoint and those before it that its delta channels are made from: back to one that holds each whole."""
        needed = {place_of(record)}
        missing = set(self._metadata(record).get("counters_since_delta_snapshot") or ())
        while missing:
            missing -= (yield from self._state(thread_id, record))["channel_values"].keys()
            parent = parent_of(record)
            before = thread.checkpoints.get(parent) if parent and missing else None
            if parent is None or before is None:
                break
            record = before
            needed.add(parent)
        return needed
