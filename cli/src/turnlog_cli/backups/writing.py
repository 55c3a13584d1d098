"""Writes a backup: members of a tar archive, in one pass, with at most one part in memory."""

import tarfile
import zlib
from hashlib import sha256
from typing import BinaryIO

from turnlog_cli.backups.format import (
    BLOCK_BYTES,
    DIGEST,
    HEADER,
    MANIFEST,
    PART_BYTES,
    Header,
    Manifest,
    Stream,
    part_name,
    table_of,
    to_json,
)

LEVEL = 1
"""Of compression: the higher ones save a tenth of the file and cost several times the CPU."""
_GZIP = 31


class ArchiveWriter:
    """Writes to any file, also one that cannot seek. Blocking: call it in a thread."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._digest = sha256()
        self._streams: list[Stream] = []
        self.bytes = 0
        self._add(HEADER, to_json(header))

    def stream(self, name: str) -> "StreamWriter":
        """Begin a stream; the one before must be closed."""
        return StreamWriter(self, name)

    def finish(self) -> Manifest:
        """Write what proves the file; nothing may follow."""
        manifest = Manifest(tuple(self._streams))
        self._add(MANIFEST, to_json(manifest))
        self._add(DIGEST, self._digest.hexdigest().encode())
        self._write(bytes(2 * BLOCK_BYTES))
        return manifest

    def add_part(self, name: str, number: int, raw: bytes) -> None:
        """Called by `StreamWriter`."""
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self._add(part_name(name, number), packer.compress(raw) + packer.flush())

    def ended(self, stream: Stream) -> None:
        """Called by `StreamWriter`."""
        self._streams.append(stream)

    def _add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o600
        self._write(info.tobuf(tarfile.USTAR_FORMAT))
        self._write(data)
        self._write(bytes(-len(data) % BLOCK_BYTES))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)


class StreamWriter:
    """Gathers one stream's bytes into parts."""

    def __init__(self, archive: ArchiveWriter, name: str) -> None:
        self._archive, self._name = archive, name
        self._gathered = bytearray()
        self._digest = sha256()
        self._bytes = self._parts = 0

    def write(self, data: bytes) -> None:
        """Take some bytes; a part is written whenever one is full."""
        self._gathered += data
        while len(self._gathered) >= PART_BYTES:
            self._emit(PART_BYTES)

    def close(self, rows: int) -> None:
        """Write the rest and note what was written."""
        if self._gathered:
            self._emit(len(self._gathered))
        self._archive.ended(
            Stream(self._name, table_of(self._name), rows, self._bytes, self._parts, self._digest.hexdigest())
        )

    def _emit(self, size: int) -> None:
        raw = bytes(self._gathered[:size])
        del self._gathered[:size]
        self._digest.update(raw)
        self._bytes += size
        self._parts += 1
        self._archive.add_part(self._name, self._parts, raw)
