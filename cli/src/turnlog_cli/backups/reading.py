"""Takes a backup apart, in one pass, with one part in memory, believing nothing that it says.

Every byte of the file counts for its digest, so a changed one is found; where the pass is then, is told too.
"""

import tarfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

from turnlog_cli.backups.errors import BackupError, Damaged, NotABackup, TooNew
from turnlog_cli.backups.format import (
    BLOCK_BYTES,
    DESCRIPTION_BYTES_MAX,
    DIGEST,
    FORMAT,
    HEADER,
    MANIFEST,
    PART_BYTES,
    PART_FILE_BYTES_MAX,
    Header,
    Manifest,
    Stream,
    format_of,
    header_from,
    manifest_from,
    part_name,
    table_of,
)

_GZIP = 31
_PG_DUMP = b"PGDMP"
_OTHER = "is no backup made by `turnlog backup`"


class ArchiveReader:
    """One pass over a backup. `header` is there at once, `manifest` when `parts` has ended. Blocking."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises `NotABackup`, `TooNew` or `Damaged`."""
        self._file = file
        self._digest = sha256()
        self.bytes = 0
        self.manifest: Manifest | None = None
        self.header = self._open()

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Each part in order as (its stream's name, bytes as COPY made them); all parts of a stream follow each other.
        When it ends, the whole file was as it was written. Raises `Damaged`."""
        seen: list[Stream] = []
        stream, number, size, digest = "", 0, 0, sha256()
        while True:
            name, data = self._member()
            folder = name.partition("/")[0]
            if stream and folder != stream:
                seen.append(Stream(stream, table_of(stream), 0, size, number, digest.hexdigest()))
            if name == MANIFEST:
                break
            if folder != stream:
                stream, number, size, digest = folder, 0, 0, sha256()
            number += 1
            if name != part_name(stream, number):
                raise Damaged(f"the backup is damaged: {name!r} stands where {part_name(stream, number)} is expected")
            raw = _unpacked(name, data)
            digest.update(raw)
            size += len(raw)
            yield stream, raw
        self._check_end()
        self.manifest = manifest_from(data)
        self._compare(seen, self.manifest)

    def _open(self) -> Header:
        first = self._file.read(BLOCK_BYTES)
        if first.startswith(_PG_DUMP):
            raise NotABackup(f"the file {_OTHER}, but an archive of pg_dump: pg_restore puts it back (docs/backup.md)")
        name, size = _header_of(first, NotABackup(f"the file {_OTHER}"))
        if name != HEADER:
            raise NotABackup(f"the file {_OTHER}: it begins with {name[:60]!r}")
        self._count(first)
        data = self._body(name, size)
        if (number := format_of(data)) > FORMAT:
            raise TooNew(
                f"the backup is of format {number}, this release knows up to {FORMAT}: restore it with a newer release"
            )
        return header_from(data)

    def _member(self) -> tuple[str, bytes]:
        name, size = _header_of(self._exactly(BLOCK_BYTES), Damaged(self._at("no member where one is expected")))
        return name, self._body(name, size)

    def _body(self, name: str, size: int) -> bytes:
        limit = DESCRIPTION_BYTES_MAX if name in (HEADER, MANIFEST) else PART_FILE_BYTES_MAX
        if size > limit:
            raise Damaged(self._at(f"{name!r} says that it has {size:,} bytes"))
        data = self._exactly(size)
        if any(self._exactly(-size % BLOCK_BYTES)):
            raise Damaged(self._at(f"something stands behind {name!r}"))
        return data

    def _check_end(self) -> None:
        expected = self._digest.hexdigest()
        name, data = self._member()
        if name != DIGEST or data != expected.encode():
            raise Damaged("the backup is damaged: its SHA-256 is not the one written at its end")
        if any(self._exactly(2 * BLOCK_BYTES)) or self._file.read(1):
            raise Damaged(self._at("something stands behind its end"))

    def _compare(self, seen: list[Stream], manifest: Manifest) -> None:
        for found, said in zip(seen, manifest.streams, strict=False):
            if (found.name, found.bytes, found.parts, found.sha256) != (said.name, said.bytes, said.parts, said.sha256):
                raise Damaged(f"the backup is damaged: {found.name} is not what its manifest says")
        if len(seen) != len(manifest.streams):
            raise Damaged("the backup is damaged: its manifest names other streams than it holds")

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise Damaged(self._at("it ends here: it was cut short"))
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.bytes += len(data)

    def _at(self, what: str) -> str:
        return f"the backup is damaged at byte {self.bytes:,}: {what}"


def _header_of(block: bytes, error: BackupError) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise error from None
    if not info.isreg() or info.size < 0:
        raise error
    return info.name, info.size


def _unpacked(name: str, data: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        raw = unpacker.decompress(data, PART_BYTES + 1)
    except zlib.error:
        raise Damaged(f"the backup is damaged: {name} cannot be unpacked") from None
    if not unpacker.eof or unpacker.unused_data or not raw or len(raw) > PART_BYTES:
        raise Damaged(f"the backup is damaged: {name} is not one part")
    return raw
