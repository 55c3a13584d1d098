"""Proves a backup without a server: every byte of the file, every hash and the chain of every log.

Memory: one part and the text of one event. Called by `turnlog backup --check` and before every restore.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from turnlog_cli.backups.errors import Damaged, NotABackup
from turnlog_cli.backups.format import EVENTS, Header, LogState, Manifest, stream_name, table_of
from turnlog_cli.backups.reading import ArchiveReader
from turnlog_cli.backups.rows import EventRows, rows
from turnlog_events.hashing import GENESIS, chain_hash, payload_hash

Progress = Callable[[int, int], None]
"""Called with the events proved so far, and all there are."""
PROGRESS_EVENTS = 2_000
LISTED_MAX = 100


@dataclass(slots=True)
class Proof:
    """A backup that is whole. `differences` say where the history in it is not what its own hashes say: PostgreSQL held
    it so already (at most `LISTED_MAX` of `differing` are listed)."""

    header: Header
    bytes: int = 0
    manifest: Manifest = field(default_factory=lambda: Manifest(()))
    differing: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the history proves itself."""
        return self.differing == 0

    def differs(self, what: str) -> None:
        """Note a difference."""
        self.differing += 1
        if len(self.differences) < LISTED_MAX:
            self.differences.append(what)


def opened(path: Path) -> BinaryIO:
    """The file, to be read. Raises `NotABackup`."""
    try:
        if not path.is_file():
            raise NotABackup(f"{path} is no file" if path.exists() else f"{path} does not exist")
        return path.open("rb")
    except OSError as error:
        raise NotABackup(f"{path} cannot be read: {error.strerror}") from None


def prove(path: Path, progress: Progress | None = None) -> Proof:
    """Prove a backup; blocking. Raises `NotABackup`, `TooNew` or `Damaged`."""
    began = time.perf_counter()
    with opened(path) as file:
        reader = ArchiveReader(file)
        proof = Proof(reader.header)
        heads = {stream_name(EVENTS, log.log): log for log in reader.header.logs}
        counted: Counter[str] = Counter()
        for name, parts in groupby(reader.parts(), key=lambda part: part[0]):
            columns = [column for column, _ in reader.header.table(table_of(name)).columns]
            found = rows((raw for _, raw in parts), len(columns))
            if table_of(name) != EVENTS:
                counted[name] = sum(1 for _ in found)
                continue
            if name not in heads:
                raise Damaged(f"the backup holds a log that it does not describe: {name}")
            counted[name] = _prove_log(found, EventRows(columns), heads[name], proof, counted.total, progress)
        assert reader.manifest is not None
        proof.manifest, proof.bytes = reader.manifest, reader.bytes
    _check_counts(proof, counted, heads)
    proof.seconds = time.perf_counter() - began
    return proof


def _prove_log(
    found: Iterable[list[bytes | None]],
    events: EventRows,
    head: LogState,
    proof: Proof,
    before: Callable[[], int],
    progress: Progress | None,
) -> int:
    """Hold each event to the hashes it carries, and the last one to the head; how many there are."""
    chain, position, already = GENESIS, 0, before()
    for row in found:
        event = events.event(row)
        position += 1
        if (event.log, event.position) != (head.log, position):
            raise Damaged(f"the backup is damaged: {event.log}:{event.position} stands at {head.log}:{position}")
        if payload_hash(event.payload) != event.payload_sha256:
            proof.differs(f"{event.log}:{position}: the payload is not what its SHA-256 says")
        if chain_hash(chain, event) != event.chain_hash:
            proof.differs(f"{event.log}:{position}: the chain hash does not follow from the event and the one before")
        chain = event.chain_hash
        if progress is not None and not position % PROGRESS_EVENTS:
            progress(already + position, proof.header.events)
    if (position, chain.hex()) != (head.position, head.chain_hash):
        raise Damaged(f"the backup is damaged: log {head.log} does not end as its header says")
    return position


def _check_counts(proof: Proof, counted: Counter[str], heads: dict[str, LogState]) -> None:
    for stream in proof.manifest.streams:
        if counted[stream.name] != stream.rows:
            raise Damaged(
                f"the backup is damaged: {stream.name} has {counted[stream.name]:,} rows, not {stream.rows:,}"
            )
    missing = [name for name in heads if name not in counted]
    if missing:
        raise Damaged(f"the backup is damaged: it lacks {', '.join(missing)}")
