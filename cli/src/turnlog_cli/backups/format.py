"""What a backup file holds.

A tar archive (ustar), readable with ordinary tools:

    turnlog-backup.json      `Header`: format, schema, when, the logs with their heads, the tables with their columns
    logs/000001.gz           a stream: the rows of a table in PostgreSQL's binary COPY format, cut into parts of
    events.main/000001.gz    `PART_BYTES`, each part compressed alone; the events of each log are a stream of their own,
    events.main/000002.gz    in the order of their positions
    …
    manifest.json            `Manifest`: rows, bytes, parts and SHA-256 of each stream
    sha256                   SHA-256 (hex) of every byte of the file before this member

The heads are read in the snapshot that the rows come from. The digest comes last: a file cut short has none.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from turnlog_cli.backups.errors import Damaged

FORMAT = 1
HEADER, MANIFEST, DIGEST = "turnlog-backup.json", "manifest.json", "sha256"
PART_BYTES = 4 * 2**20
PART_FILE_BYTES_MAX = PART_BYTES + 2**16
DESCRIPTION_BYTES_MAX = 256 * 2**20
"""Of header and manifest: a bound for a file that lies about its sizes, far above what any deployment needs."""
BLOCK_BYTES = 512
EVENTS = "events"


@dataclass(frozen=True, slots=True)
class LogState:
    """A log as it was: its incarnation, its last position (0: empty) and the chain hash there (hex)."""

    log: str
    incarnation: str
    position: int
    chain_hash: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its columns in the order of its streams, each with its SQL type."""

    name: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What is backed up. `taken_at` is RFC 3339, not after the snapshot; `schema` the revision of the migrations."""

    format: int
    turnlog: str
    schema: str
    server: str
    taken_at: str
    logs: tuple[LogState, ...]
    tables: tuple[Table, ...]

    @property
    def events(self) -> int:
        """Events of all logs."""
        return sum(log.position for log in self.logs)

    def table(self, name: str) -> Table:
        """A table by its name. Raises `Damaged`."""
        for table in self.tables:
            if table.name == name:
                return table
        raise Damaged(f"the backup holds rows of a table that it does not describe: {name}")


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream as written: `bytes` and `sha256` are of the rows before compression."""

    name: str
    table: str
    rows: int
    bytes: int
    parts: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All streams in the order of the file."""

    streams: tuple[Stream, ...]

    def rows(self, table: str) -> int:
        """Rows of a table in all."""
        return sum(stream.rows for stream in self.streams if stream.table == table)


def stream_name(table: str, log: str | None = None) -> str:
    """`sessions`, `events.main`: no table's name has a dot."""
    return f"{table}.{log}" if log is not None else table


def table_of(stream: str) -> str:
    """The table whose rows a stream holds."""
    return stream.partition(".")[0]


def part_name(stream: str, number: int) -> str:
    """The member that holds a part; parts are numbered from 1."""
    return f"{stream}/{number:06}.gz"


def to_json(value: Header | Manifest) -> bytes:
    """As it stands in the file."""
    return json.dumps(asdict(value), indent=1, ensure_ascii=False).encode() + b"\n"


def header_from(data: bytes) -> Header:
    """Raises `Damaged`."""
    found = _object(data, HEADER)
    try:
        return Header(
            format=int(found["format"]),
            turnlog=str(found["turnlog"]),
            schema=str(found["schema"]),
            server=str(found["server"]),
            taken_at=str(found["taken_at"]),
            logs=tuple(LogState(**log) for log in found["logs"]),
            tables=tuple(Table(t["name"], tuple((c, kind) for c, kind in t["columns"])) for t in found["tables"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{HEADER} in the backup is not what it should be: {error!r}") from None


def manifest_from(data: bytes) -> Manifest:
    """Raises `Damaged`."""
    found = _object(data, MANIFEST)
    try:
        return Manifest(tuple(Stream(**stream) for stream in found["streams"]))
    except (KeyError, TypeError) as error:
        raise Damaged(f"{MANIFEST} in the backup is not what it should be: {error!r}") from None


def format_of(data: bytes) -> int:
    """The format that a header names, whatever else is in it. Raises `Damaged`."""
    number = _object(data, HEADER).get("format")
    if not isinstance(number, int):
        raise Damaged(f"{HEADER} in the backup names no format")
    return number


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        raise Damaged(f"{name} in the backup is no JSON") from None
    if not isinstance(found, dict):
        raise Damaged(f"{name} in the backup is no object")
    return found
