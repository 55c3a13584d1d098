"""A file in import format → lines to be sent. Pure but for reading the file.

A line without `turn_id` gets one derived from its content and its number, so that loading the same file again adds
nothing. It is put into the line's own text: what the server checks (duplicate keys, numbers) stays as written.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from turnlog_client import LineResult

LINE_MAX_BYTES = 4 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
_OPENING = re.compile(rb"\s*\{")


def with_derived_id(line: bytes, number: int) -> bytes:
    """The line with a `turn_id`; as it is when it has one, or is no JSON object: the server then says so."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(fields, dict) or not fields or fields.get("turn_id") is not None:
        return line
    turn_id = f"line-{number}-{hashlib.sha256(line).hexdigest()[:24]}"
    if "turn_id" in fields:
        return json.dumps(fields | {"turn_id": turn_id}, ensure_ascii=False).encode()
    return _OPENING.sub(lambda _: f'{{"turn_id":"{turn_id}",'.encode(), line, count=1)


class Feed:
    """The lines of a file as they are to be sent. Blank lines are passed over; numbers are the file's.

    `sent` are the numbers of lines handed out and not yet answered; `too_long` collects lines that are not sent.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sent: deque[int] = deque()
        self.too_long: list[LineResult] = []
        self.read_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        while line := self._file.readline(LINE_MAX_BYTES + 1):
            number += 1
            self.read_bytes += len(line)
            if len(line) > LINE_MAX_BYTES and not line.endswith(b"\n"):
                self._skip_rest()
                message = f"a line has at most {LINE_MAX_BYTES} bytes"
                self.too_long.append(LineResult(number, "refused", code="line_too_long", message=message, param="line"))
                continue
            text = (line.removeprefix(BOM) if number == 1 else line).strip()
            if text:
                self.sent.append(number)
                yield with_derived_id(text, number)

    def _skip_rest(self) -> None:
        while (part := self._file.readline(LINE_MAX_BYTES)) and not part.endswith(b"\n"):
            self.read_bytes += len(part)
        self.read_bytes += len(part)
