"""A load of any length as requests of bounded size. Pure; both clients drive it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnlog_client.calls import encode
from turnlog_client.errors import Unavailable
from turnlog_client.results import LineResult
from turnlog_client.turns import with_turn_id

CHUNK_LINES = 1_000
CHUNK_BYTES = 4 * 1024 * 1024
Line = Mapping[str, Any] | bytes


@dataclass(frozen=True)
class NumberedLine:
    """One line of NDJSON without its line feed, its number in the load, from 1, and its session where it is known."""

    number: int
    data: bytes
    session_id: str | None = None


def chunks(lines: Iterable[Line]) -> Iterator[list[NumberedLine]]:
    """The lines in order, in chunks that fit a request; only a single line may be larger than `CHUNK_BYTES`.

    An object without `turn_id` gets one. Bytes are sent as they are, and must hold no line feed.
    """
    chunk: list[NumberedLine] = []
    size = 0
    for number, line in enumerate(lines, 1):
        data = line if isinstance(line, bytes) else encode(with_turn_id(line))
        if chunk and (len(chunk) == CHUNK_LINES or size + len(data) + 1 > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(NumberedLine(number, data, None if isinstance(line, bytes) else line.get("session_id")))
        size += len(data) + 1
    if chunk:
        yield chunk


class ChunkLoad:
    """One chunk on its way: what is still to be sent, and the results so far."""

    def __init__(self, lines: Sequence[NumberedLine]) -> None:
        self._lines = lines
        self._pending = list(lines)
        self._results: dict[int, LineResult] = {}

    @property
    def done(self) -> bool:
        """Whether every line has its result."""
        return not self._pending

    @property
    def results(self) -> list[LineResult]:
        """The results there are, in order of lines."""
        return [self._results[number] for number in sorted(self._results)]

    def written(self) -> dict[str, int]:
        """The last version stored of each session that is known by name."""
        found: dict[str, int] = {}
        for line in self._lines:
            version = self._results[line.number].version if line.number in self._results else None
            if line.session_id is not None and version is not None:
                found[line.session_id] = max(version, found.get(line.session_id, 0))
        return found

    def body(self) -> bytes:
        """The lines without a result, as a request body."""
        return b"\n".join(line.data for line in self._pending) + b"\n"

    def take(self, answers: Sequence[Mapping[str, Any]]) -> Unavailable | None:
        """Note the answers to the last body. Lines that failed for a cause that may pass stay to be sent again;
        then the first of those failures is returned."""
        if len(answers) != len(self._pending):
            return Unavailable(f"{len(answers)} results came for {len(self._pending)} lines", outcome_unknown=True)
        failure: Unavailable | None = None
        again: list[NumberedLine] = []
        for line, answer in zip(self._pending, answers, strict=True):
            if answer["status"] == "failed":
                again.append(line)
                failure = failure or Unavailable(
                    f"line {line.number} {answer['error']['message']}",
                    outcome_unknown=answer["error"]["code"] == "outcome_unknown",
                )
            else:
                self._results[line.number] = LineResult.of(line.number, answer)
        self._pending = again
        return failure
