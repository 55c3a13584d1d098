"""The file of a backup without a server: what was written is read back, and nothing else is believed."""

import io
import os
import random
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_cli.backups.errors import BackupError, Damaged, NotABackup, TooNew
from turnlog_cli.backups.format import FORMAT, PART_BYTES, Header, LogState, Manifest, Table, to_json
from turnlog_cli.backups.proving import Proof, prove
from turnlog_cli.backups.reading import ArchiveReader
from turnlog_cli.backups.rows import rows
from turnlog_cli.backups.side_file import side_file
from turnlog_cli.backups.writing import ArchiveWriter
from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS, chain_hash, payload_hash

COLUMNS = [
    *("log", "position", "event_id", "tenant", "session_id", "version", "type", "schema_version", "key"),
    *("recorded_at_us", "causation_id", "correlation_id", "trace", "agent_id", "payload", "payload_sha256", "key_id"),
    "chain_hash",
]
Field = bytes | None


def copied(found: Sequence[Sequence[Field]]) -> bytes:
    """Rows as PostgreSQL's binary COPY sends them."""
    out = [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for row in found:
        out.append(struct.pack(">h", len(row)))
        for value in row:
            out.append(struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value)
    return b"".join(out) + struct.pack(">h", -1)


def history(log: str, size: int) -> list[Event]:
    """A chain of events."""
    chain, made = GENESIS, []
    for position in range(1, size + 1):
        payload = b'{"content":"' + os.urandom(40).hex().encode() + b'"}'
        place = ("acme", f"s{position % 3}", position, "MemoryTurnStored", 1, f"t{position}", 1_700_000_000_000_000)
        event_id = f"00000000-0000-7000-8000-{position:012x}"
        event = Event(log, position, event_id, *place, None, None, None, payload, payload_hash(payload), "", b"")
        chain = chain_hash(chain, event)
        made.append(replace(event, chain_hash=chain))
    return made


def row_of(event: Event) -> list[Field]:
    """A row of the events table."""
    return [
        event.log.encode(),
        struct.pack(">q", event.position),
        bytes.fromhex(event.event_id.replace("-", "")),
        event.tenant.encode(),
        event.session_id.encode(),
        struct.pack(">q", event.version or 1),
        event.type.encode(),
        struct.pack(">h", event.schema_version),
        event.key.encode(),
        struct.pack(">q", event.recorded_at_us),
        None,
        None,
        None,
        b"an agent",
        event.payload,
        event.payload_sha256,
        event.key_id.encode(),
        event.chain_hash,
    ]


def header_of(logs: dict[str, list[Event]], *, number: int = FORMAT) -> Header:
    states = tuple(
        LogState(log, "a" * 32, len(events), (events[-1].chain_hash if events else GENESIS).hex())
        for log, events in logs.items()
    )
    tables = (Table("events", tuple((name, "text") for name in COLUMNS)), Table("sessions", (("tenant", "text"),)))
    return Header(number, "0.1.0", "0003", "18.6", "2026-11-26T08:00:00.000000Z", states, tables)


def written(logs: dict[str, list[Event]], *, number: int = FORMAT, header: Header | None = None) -> bytes:
    """A backup of these logs."""
    file = io.BytesIO()
    archive = ArchiveWriter(file, header or header_of(logs, number=number))
    for log, events in logs.items():
        stream = archive.stream(f"events.{log}")
        stream.write(copied([row_of(event) for event in events]))
        stream.close(len(events))
    stream = archive.stream("sessions")
    stream.write(copied([[b"acme"]]))
    stream.close(1)
    archive.finish()
    return file.getvalue()


def proved(folder: Path, data: bytes) -> Proof:
    path = folder / "backup"
    path.write_bytes(data)
    return prove(path)


@pytest.fixture(scope="module")
def sound() -> bytes:
    return written({"eu": history("eu", 7), "main": history("main", 40), "none": []})


def test_a_sound_backup_is_proved_and_says_what_is_in_it(tmp_path: Path, sound: bytes) -> None:
    proof = proved(tmp_path, sound)
    assert (proof.ok, proof.bytes, proof.header.events) == (True, len(sound), 47)
    assert [(log.log, log.position) for log in proof.header.logs] == [("eu", 7), ("main", 40), ("none", 0)]
    assert {table: proof.manifest.rows(table) for table in ("events", "sessions")} == {"events": 47, "sessions": 1}


def test_ordinary_tools_read_it(sound: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(sound)) as archive:
        names = archive.getnames()
        member = archive.extractfile("events.eu/000001.gz")
        assert member is not None
        found = list(rows([zlib.decompress(member.read(), 31)], len(COLUMNS)))
    assert names[0] == "turnlog-backup.json"
    assert names[-2:] == ["manifest.json", "sha256"]
    assert [row[1] for row in found] == [struct.pack(">q", n) for n in range(1, 8)]


def test_every_changed_byte_is_found(tmp_path: Path, sound: bytes) -> None:
    chosen = random.Random(24)
    places = {0, 1, 700, len(sound) // 2, len(sound) - 1, len(sound) - 1024, len(sound) - 1500}
    for place in sorted(places | set(chosen.sample(range(len(sound)), 400))):
        changed = bytearray(sound)
        changed[place] ^= 1 << chosen.randrange(8)
        with pytest.raises(BackupError):
            proved(tmp_path, bytes(changed))


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, sound: bytes) -> None:
    places = {0, 1, 511, 512, len(sound) - 1, len(sound) - 512, len(sound) - 1024, len(sound) - 2048}
    for place in sorted(places | set(random.Random(5).sample(range(len(sound)), 100))):
        with pytest.raises((Damaged, NotABackup)):
            proved(tmp_path, sound[:place])
    with pytest.raises(Damaged, match="cut short"):
        proved(tmp_path, sound[: len(sound) // 2])
    with pytest.raises(Damaged, match="behind its end"):
        proved(tmp_path, sound + b"\0")


def test_parts_that_changed_places_are_found(tmp_path: Path) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(file, header_of({"main": history("main", 1)}))
    stream = archive.stream("events.main")
    stream.write(os.urandom(2 * PART_BYTES))
    stream.close(1)
    archive.finish()
    reader = ArchiveReader(io.BytesIO(file.getvalue().replace(b"events.main/000001.gz", b"events.main/000002.gz", 1)))
    with pytest.raises(Damaged):
        list(reader.parts())


def test_other_files_are_told_by_what_they_are(tmp_path: Path) -> None:
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
    for data in (b"", b"hello", b"\x1f\x8b" + bytes(600), bytes(2048), other.getvalue()):
        with pytest.raises(NotABackup, match="no backup made by `turnlog backup`"):
            proved(tmp_path, data)
    with pytest.raises(NotABackup, match="pg_restore"):
        proved(tmp_path, b"PGDMP" + bytes(600))
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotABackup, match=r"is no file|does not exist"):
            prove(path)


def test_a_newer_format_is_told_from_damage(tmp_path: Path) -> None:
    with pytest.raises(TooNew, match=f"format {FORMAT + 1}, this release knows up to {FORMAT}"):
        proved(tmp_path, written({"main": history("main", 3)}, number=FORMAT + 1))


def test_a_history_that_was_changed_before_the_backup_is_shown_where(tmp_path: Path) -> None:
    events = history("main", 20)
    changed = {6: replace(events[6], payload=b'{"content":"never said"}'), 11: replace(events[11], tenant="other")}
    proof = proved(tmp_path, written({"main": [changed.get(n, event) for n, event in enumerate(events)]}))
    assert [difference.partition(":")[2].partition(":")[0] for difference in proof.differences] == ["7", "12"]
    assert (proof.ok, proof.differing) == (False, 2)


@pytest.mark.parametrize("wrong", ["missing", "swapped", "short"])
def test_a_log_that_is_not_what_the_header_says_is_damage(tmp_path: Path, wrong: str) -> None:
    events = history("main", 9)
    header = header_of({"main": events})
    found = {
        "missing": [*events[:4], *events[5:]],
        "swapped": [*events[:4], events[5], events[4], *events[6:]],
        "short": events[:-1],
    }[wrong]
    with pytest.raises(Damaged):
        proved(tmp_path, written({"main": found}, header=header))


def test_a_part_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(file, header_of({"main": []}))
    archive.add_part("events.main", 1, bytes(50 * PART_BYTES))
    archive.finish()
    with pytest.raises(Damaged, match="not one part"):
        proved(tmp_path, file.getvalue())


@given(
    st.lists(st.lists(st.one_of(st.none(), st.binary(max_size=20)), min_size=3, max_size=3), max_size=8),
    st.integers(1, 40),
)
def test_rows_come_out_as_they_went_in_however_they_are_cut(found: list[list[Field]], size: int) -> None:
    data = copied(found)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(rows(pieces, 3)) == found
    for cut in (data[:-1], data + b"\0"):
        with pytest.raises(Damaged):
            list(rows([cut], 3))


def test_a_side_file_takes_its_name_at_the_end_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "b"
    with side_file(target, force=False) as file:
        file.write(b"whole")
        assert not target.exists()
        with pytest.raises(BackupError, match="right now"), side_file(target, force=True):
            pass
    assert target.read_bytes() == b"whole"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_never_overwritten_unless_told_to(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_bytes(b"before")
    with pytest.raises(BackupError, match="--force"), side_file(target, force=False):
        pass
    with pytest.raises(ZeroDivisionError), side_file(target, force=True) as file:
        file.write(b"half" * (1 // 0))
    assert target.read_bytes() == b"before"
    with side_file(target, force=True) as file:
        file.write(b"after")
    assert target.read_bytes() == b"after"
    late = tmp_path / "late"
    with pytest.raises(BackupError, match="exists"), side_file(late, force=False) as file:
        late.write_bytes(b"of somebody else")
    assert late.read_bytes() == b"of somebody else"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "late"]


def test_what_a_kill_left_is_written_over(tmp_path: Path) -> None:
    left = tmp_path / "b.part"
    left.write_bytes(b"x" * 10_000)
    left.chmod(0o644)
    with side_file(tmp_path / "b", force=False) as file:
        file.write(b"whole")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("b", b"whole")]
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    for place, words in ((tmp_path, "is no file"), (tmp_path / "no" / "b", "there is no folder")):
        with pytest.raises(BackupError, match=words), side_file(place, force=False):
            pass


_TO_THE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from turnlog_cli.backups.errors import BackupError
from turnlog_cli.backups.side_file import side_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with side_file(Path(sys.argv[1]), force=False) as file:
        for _ in range(300):
            file.write(bytes(10_000))
except BackupError as error:
    print(error)
"""


def test_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TO_THE_LIMIT, str(tmp_path / "b")], capture_output=True, text=True, check=True
    )
    assert "no room for it there" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_header_and_manifest_survive_their_way_through_json() -> None:
    header = header_of({"main": history("main", 2)})
    file = io.BytesIO()
    ArchiveWriter(file, header).finish()
    reader = ArchiveReader(io.BytesIO(file.getvalue()))
    assert list(reader.parts()) == []
    assert (reader.header, reader.manifest) == (header, Manifest(()))
    assert to_json(header).endswith(b"}\n")
