"""What writes answer. Reads answer the API's JSON objects as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placed:
    """Where a turn is stored. `duplicate`: it was there before, and nothing was added."""

    turn_id: str
    log: str
    position: int
    version: int
    recorded_at: str
    duplicate: bool

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Placed":
        """From the API's answer."""
        return cls(
            turn_id=answer["turn_id"],
            log=answer["log"],
            position=answer["position"],
            version=answer["version"],
            recorded_at=answer["recorded_at"],
            duplicate=answer["duplicate"],
        )


@dataclass(frozen=True)
class LineResult:
    """What became of one line of a load: `line` counts from 1, `status` is stored, duplicate or refused.

    Of a refused line `code`, `message` and `param` say why, and `position` and `version` are None.
    """

    line: int
    status: str
    turn_id: str | None = None
    position: int | None = None
    version: int | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None

    @classmethod
    def of(cls, line: int, answer: Mapping[str, Any]) -> "LineResult":
        """From the API's answer to the line."""
        error = answer.get("error") or {}
        return cls(
            line=line,
            status=answer["status"],
            turn_id=answer.get("turn_id"),
            position=answer.get("position"),
            version=answer.get("version"),
            code=error.get("code"),
            message=error.get("message"),
            param=error.get("param"),
        )
