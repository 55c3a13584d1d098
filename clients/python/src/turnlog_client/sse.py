"""Server-sent events from bytes: pure, fed with whatever the network gives."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamEvent:
    """One live event of a session: `id` is the version it leaves the session at; `name` is turn, retracted or
    summarized."""

    id: int
    name: str
    data: dict[str, Any]


class SseParser:
    """Splits a stream into events. Lines end at a line feed only: JSON text may hold every other separator."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """The events that are complete with these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode()
            if text:
                name, _, value = text.partition(":")
                self._fields[name] = value.removeprefix(" ")
                continue
            fields, self._fields = self._fields, {}
            if "data" in fields and "id" in fields:
                yield StreamEvent(int(fields["id"]), fields.get("event", "message"), json.loads(fields["data"]))
