"""`turnlog export`: the turns of a log in import format, in the order of the log.

Read twice: first the retractions, which come after the turns they hide, then the turns, up to where the log ended at
the start. Importing the file into an empty system gives the same turns; without `--with-retracted` what was taken back
stays away, and versions close up.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from turnlog_cli.addresses import Api
from turnlog_cli.errors import CommandError
from turnlog_cli.escape import json_shown
from turnlog_cli.progress import Meter
from turnlog_cli.screen import Screen, count
from turnlog_client import Client

TURN, RETRACTED = "MemoryTurnStored", "TurnsRetracted"
Hidden = dict[str, list[tuple[int, int]]]


@dataclass(frozen=True)
class Selection:
    """What to export: of which log, which sessions (none named: all), and whether with retracted turns."""

    log: str
    sessions: frozenset[str]
    with_retracted: bool

    def takes(self, session_id: str) -> bool:
        """Whether the session is among them."""
        return not self.sessions or session_id in self.sessions


def export_file(path: str, selection: Selection, api: Api, screen: Screen, *, force: bool) -> None:
    """Write the turns to a file (whole or not at all) or with `-` to standard output."""
    with Client(api.url, api_key=api.key) as client, _opened(path, force=force) as file:
        head = client.log(selection.log)["position"]
        hidden = {} if selection.with_retracted else hidden_ranges(_events(client, selection, head))
        turns = left_out = 0
        with Meter(screen.err, "exporting", "turns", head) as meter:
            for event in _events(client, selection, head):
                if event["type"] != TURN:
                    continue
                if is_hidden(hidden, event):
                    left_out += 1
                    continue
                file.write(line_of(event))
                turns += 1
                if not turns % 500:
                    meter.at(event["position"], turns)
    if selection.sessions and not turns and not left_out:
        raise CommandError(f"no such session: {', '.join(sorted(selection.sessions))}; nothing was exported")
    more = f", {count(left_out, 'retracted turn')} left out (--with-retracted takes them along)" if left_out else ""
    screen.err.print(f"{count(turns, 'turn')} exported{more}", soft_wrap=True)


def hidden_ranges(events: Iterator[Mapping[str, Any]]) -> Hidden:
    """The versions that were retracted, by session."""
    hidden: Hidden = {}
    for event in events:
        if event["type"] == RETRACTED:
            payload = event["payload"]
            hidden.setdefault(event["session_id"], []).append((payload["from_version"], payload["to_version"]))
    return hidden


def is_hidden(hidden: Hidden, event: Mapping[str, Any]) -> bool:
    """Whether this turn was retracted."""
    return any(first <= event["version"] <= last for first, last in hidden.get(event["session_id"], ()))


def line_of(event: Mapping[str, Any]) -> bytes:
    """A turn's event as a line in import format; invisible characters are escaped, for it may be shown somewhere."""
    fields = {"session_id": event["session_id"], "turn_id": event["key"], **event["payload"]}
    return json_shown(json.dumps(fields, ensure_ascii=False, separators=(",", ":"))).encode() + b"\n"


def _events(client: Client, selection: Selection, head: int) -> Iterator[Mapping[str, Any]]:
    tenant: str | None = None
    for event in client.log_events(selection.log):
        if event["position"] > head:
            return
        if event["tenant"] != (tenant := tenant or event["tenant"]):
            raise CommandError(
                "this key sees every tenant (scope admin), and a line of an export names none: use a key of the tenant "
                "to export, with the scope audit:read alone"
            )
        if selection.takes(event["session_id"]):
            yield event


@contextmanager
def _opened(path: str, *, force: bool) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.exists() and not force:
        raise CommandError(f"{path} exists: choose another name, or overwrite it with --force")
    side = target.with_name(target.name + ".part")
    try:
        fd = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # conversations are private
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
        side.replace(target)
    except BaseException:
        side.unlink(missing_ok=True)
        raise
