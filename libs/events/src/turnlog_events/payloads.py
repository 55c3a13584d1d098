"""Payloads per event type: what is inside an event's canonical JSON.

A turn's payload is the fields as the client sent them (absent ones absent), so that its hash also answers "is this
the same turn again?". The other payloads are made by Turnlog itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from turnlog_events.compose import Line

TURN_FIELDS = (
    "role",
    "content",
    "name",
    "agent_id",
    "user_id",
    "metadata",
    "occurred_at",
    "tool_calls",
    "tool_call_id",
)


@dataclass(frozen=True, slots=True)
class TurnsRetracted:
    """Versions `from_version`..`to_version` (inclusive) are hidden from every read model."""

    from_version: int
    to_version: int
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        out: dict[str, Any] = {"from_version": self.from_version, "to_version": self.to_version}
        return out | ({"reason": self.reason} if self.reason is not None else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TurnsRetracted":
        """Read it back."""
        return cls(data["from_version"], data["to_version"], data.get("reason"))


@dataclass(frozen=True, slots=True)
class MemorySummarized:
    """Text that covers versions from..to of a session at a level, with its lineage.

    Level 1 is made from turns, level n + 1 from summaries of level n (`sources`: their event ids). A `revision`
    above 1 replaces the same range (after a retraction). `tokens_in`/`tokens_out` are the model's, or counted.
    `task_id` is set on the event that ends a compression on request.
    """

    from_version: int
    to_version: int
    level: int
    revision: int
    text: str
    lines: tuple[Line, ...]
    model: str
    prompt_version: str
    tokens_in: int
    tokens_out: int
    sources: tuple[str, ...] = ()
    stats: Mapping[str, float] = field(default_factory=dict)
    task_id: str | None = None

    @property
    def key(self) -> str:
        """Unique per session: when two compressors race, the second gets the first one's event."""
        return f"summary/{self.level}/{self.from_version}-{self.to_version}/{self.revision}"

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object; lines are arrays `[version, weight, text, speaker, at]`."""
        out: dict[str, Any] = {
            "from_version": self.from_version,
            "to_version": self.to_version,
            "level": self.level,
            "revision": self.revision,
            "text": self.text,
            "lines": [[x.version, x.weight, x.text, x.speaker, x.at] for x in self.lines],
            "model": self.model,
            "prompt_version": self.prompt_version,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "sources": list(self.sources),
        }
        if self.stats:
            out["stats"] = dict(self.stats)
        return out | ({"task_id": self.task_id} if self.task_id is not None else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "MemorySummarized":
        """Read it back."""
        return cls(
            from_version=data["from_version"],
            to_version=data["to_version"],
            level=data["level"],
            revision=data["revision"],
            text=data["text"],
            lines=tuple(Line(*line) for line in data["lines"]),
            model=data["model"],
            prompt_version=data["prompt_version"],
            tokens_in=data["tokens_in"],
            tokens_out=data["tokens_out"],
            sources=tuple(data["sources"]),
            stats=data.get("stats", {}),
            task_id=data.get("task_id"),
        )


@dataclass(frozen=True, slots=True)
class CompressionRequested:
    """Somebody asked for the session to be compressed up to `up_to_version`."""

    task_id: str
    up_to_version: int

    @property
    def key(self) -> str:
        """Unique per session."""
        return f"task/{self.task_id}/requested"

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        return {"task_id": self.task_id, "up_to_version": self.up_to_version}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CompressionRequested":
        """Read it back."""
        return cls(data["task_id"], data["up_to_version"])


@dataclass(frozen=True, slots=True)
class CompressionEnded:
    """A compression that was asked for ended without a summary: event type `CompressionFailed` or
    `CompressionSkipped`, which share this payload. `reason` is for people and holds no content."""

    task_id: str
    reason: str

    @property
    def key(self) -> str:
        """Unique per session: a task ends once."""
        return f"task/{self.task_id}/ended"

    def to_json(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        return {"task_id": self.task_id, "reason": self.reason}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CompressionEnded":
        """Read it back."""
        return cls(data["task_id"], data["reason"])
