"""What the demo stores: our sample, or a file in import format."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path

from turnlog_cli.errors import CommandError
from turnlog_cli.lines import Feed

LINES_MAX = 20_000


@dataclass(frozen=True)
class Conversation:
    """Lines to be stored; `session` is the one with most turns, which is shown. `sessions` is each line's."""

    name: str
    lines: Sequence[bytes]
    sessions: Sequence[str]
    session: str

    def halves(self) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """The lines before and after the middle of the session that is shown."""
        own = [number for number, session in enumerate(self.sessions) if session == self.session]
        middle = own[len(own) // 2]
        return self.lines[:middle], self.lines[middle:]


def read_conversation(path: Path | None) -> Conversation:
    """The sample, or the first 20,000 lines of the file. Raises `CommandError` for a file that cannot be used."""
    if path is None:
        with resources.files("turnlog_cli").joinpath("sample.jsonl").open("rb") as sample:
            return _conversation("a bakery in the making", list(Feed(sample)))  # type: ignore[arg-type]
    try:
        with path.open("rb") as file:
            lines = list(islice(Feed(file), LINES_MAX))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    return _conversation(path.name, lines)


def _conversation(name: str, lines: list[bytes]) -> Conversation:
    sessions = [_session_of(line, number) for number, line in enumerate(lines, 1)]
    if len(lines) < 2:
        raise CommandError(f"{name} holds {len(lines)} turns: the demo needs two or more, one JSON object a line")
    return Conversation(name, lines, sessions, Counter(sessions).most_common(1)[0][0])


def _session_of(line: bytes, number: int) -> str:
    try:
        return str(json.loads(line)["session_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        raise CommandError(
            f"line {number} is not in import format: a JSON object with session_id, role and content"
        ) from None
