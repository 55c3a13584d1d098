"""PostgreSQL's binary COPY format (its manual, "COPY", "Binary Format"), read row by row."""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct, error
from typing import TypeAlias

from turnlog_cli.backups.errors import Damaged
from turnlog_events.event import Event

Row: TypeAlias = list[bytes | None]
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_START_BYTES = len(_SIGNATURE) + 8
_FIELDS, _LENGTH, _LONG, _SHORT = Struct(">h"), Struct(">i"), Struct(">q"), Struct(">h")
_END = -1
_COLUMNS = (
    "log",
    "position",
    "event_id",
    "tenant",
    "session_id",
    "version",
    "type",
    "schema_version",
    "key",
    "recorded_at_us",
    "causation_id",
    "correlation_id",
    "trace",
    "payload",
    "payload_sha256",
    "key_id",
    "chain_hash",
)
"""Of the events table what an `Event` is made of, in the order of its fields."""


def rows(chunks: Iterable[bytes], columns: int) -> Iterator[Row]:
    """The rows of a stream given in any pieces; every field as it was sent, None for null. Raises `Damaged`."""
    left = b""
    started = ended = False
    for chunk in chunks:
        if ended:
            raise Damaged("the rows of a stream go on behind their end")
        data, at = left + chunk, 0
        if not started:
            if len(data) < _START_BYTES:
                left = data
                continue
            at, started = _start(data), True
        while not ended:
            found = _row(data, at, columns)
            if found is None:
                break
            row, at = found
            if row is None:
                ended = True
            else:
                yield row
        left = data[at:]
    if not ended or left:
        raise Damaged("the rows of a stream have no end")


class EventRows:
    """Makes events out of rows of the events table; columns that a later schema adds are passed over."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Raises `Damaged` when one is missing."""
        try:
            self._places = [columns.index(name) for name in _COLUMNS]
        except ValueError as missing:
            raise Damaged(f"the backup's events lack a column: {missing}") from None

    def event(self, row: Row) -> Event:
        """The event. Raises `Damaged`."""
        try:
            return self._event([row[place] for place in self._places])
        except (AttributeError, TypeError, error, UnicodeDecodeError) as reason:
            raise Damaged(f"the backup holds a row that is no event: {reason}") from None

    @staticmethod
    def _event(row: Row) -> Event:
        log, position, event_id, tenant, session, version, kind, schema, key, at_us, cause, correlation, trace = row[
            :13
        ]
        payload, payload_sha256, key_id, chain_hash = row[13:]
        return Event(
            _text(log),
            _LONG.unpack(_some(position))[0],
            _uuid(_some(event_id)),
            _text(tenant),
            _text(session),
            None if version is None else _LONG.unpack(version)[0],
            _text(kind),
            _SHORT.unpack(_some(schema))[0],
            _text(key),
            _LONG.unpack(_some(at_us))[0],
            None if cause is None else _uuid(cause),
            None if correlation is None else _text(correlation),
            None if trace is None else _text(trace),
            _some(payload),
            _some(payload_sha256),
            _text(key_id),
            _some(chain_hash),
        )


def _start(data: bytes) -> int:
    if not data.startswith(_SIGNATURE) or any(data[len(_SIGNATURE) : _START_BYTES]):
        raise Damaged("a stream does not begin as PostgreSQL's binary COPY does")
    return _START_BYTES


def _row(data: bytes, at: int, columns: int) -> tuple[Row | None, int] | None:
    """A row (None: the end of them) and where the next one begins; None while more bytes are needed."""
    size = len(data)
    if at + 2 > size:
        return None
    (count,) = _FIELDS.unpack_from(data, at)
    at += 2
    if count == _END:
        return None, at
    if count != columns:
        raise Damaged(f"a row has {count} fields instead of {columns}")
    row: Row = []
    unpack = _LENGTH.unpack_from
    for _ in range(count):
        if at + 4 > size:
            return None
        (length,) = unpack(data, at)
        at += 4
        if length < 0:
            row.append(None)
            continue
        end = at + length
        if end > size:
            return None
        row.append(data[at:end])
        at = end
    return row, at


def _some(value: bytes | None) -> bytes:
    if value is None:
        raise TypeError("a field is null")
    return value


def _text(value: bytes | None) -> str:
    return _some(value).decode()


def _uuid(value: bytes) -> str:
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
