"""An event as one line of text for people. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from turnlog_cli.escape import one_line
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.upcast import payload_of

TEXT_CHARS = 300
"""Longer texts are cut: whole ones are in `--json`."""
STYLES = {
    ev.TURN_STORED: "default",
    ev.SUMMARIZED: "cyan",
    ev.TURNS_RETRACTED: "yellow",
    ev.COMPRESSION_FAILED: "red",
}


@dataclass(frozen=True)
class EventLine:
    """The parts of the line; all are safe to print."""

    time: str
    position: int
    session: str
    who: str
    text: str
    style: str


def line_of(event: Event) -> EventLine:
    """What the event says, without anything that could drive a terminal."""
    payload = payload_of(event)
    at = datetime.fromtimestamp(event.recorded_at_us / 1_000_000, UTC).strftime("%H:%M:%S")
    who, text = _said(event, payload)
    session = event.session_id if event.tenant == "default" else f"{event.tenant}/{event.session_id}"
    shown = one_line(text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…")
    return EventLine(at, event.position, one_line(session), one_line(who), shown, STYLES.get(event.type, "dim"))


def content_text(content: str | list[dict[str, Any]]) -> str:
    """The text of a turn's content; parts that are no text are named by their type."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] if isinstance(part.get("text"), str) else f"[{part['type']}]" for part in content)


def _said(event: Event, payload: dict[str, Any]) -> tuple[str, str]:
    match event.type:
        case ev.TURN_STORED:
            text = content_text(payload["content"])
            calls = [call.get("function", call).get("name", "?") for call in payload.get("tool_calls", ())]
            called = f"[calls {', '.join(map(str, calls))}]" if calls else ""
            return f"v{event.version} {payload.get('name') or payload['role']}", f"{text} {called}".strip()
        case ev.SUMMARIZED:
            covers = f"turns {payload['from_version']} to {payload['to_version']}, level {payload['level']}"
            return "summary", f"{covers}, by {payload['model']}: {payload['text']}"
        case ev.TURNS_RETRACTED:
            reason = f": {payload['reason']}" if payload.get("reason") else ""
            return "retracted", f"turns {payload['from_version']} to {payload['to_version']}{reason}"
        case ev.COMPRESSION_REQUESTED:
            return "asked", f"for a summary up to turn {payload['up_to_version']} (task {payload['task_id']})"
        case ev.COMPRESSION_FAILED:
            return "failed", f"summary: {payload['reason']} (task {payload['task_id']})"
        case ev.COMPRESSION_SKIPPED:
            return "skipped", f"summary: {payload['reason']} (task {payload['task_id']})"
    return event.type, ""
