"""The shapes of answers, for the OpenAPI document only: answers are made as bytes, and held to these by a test that
calls every route. HTTP edge."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Version = Annotated[int, Field(ge=1, description="The turn's version in its session.")]
Position = Annotated[int, Field(ge=1, description="The event's place in the log.")]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Duplicate = Annotated[bool, Field(description="Whether it was stored before, by a request like this one.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Placed(_Shape):
    """Where a turn stands."""

    turn_id: str
    log: str
    position: Position
    version: Version
    recorded_at: Moment
    duplicate: Duplicate


class PlacedMany(_Shape):
    """Where the turns of a request of many stand, in its order."""

    turns: list[Placed]


class Loaded(_Shape):
    """One line of a load's answer."""

    line: Annotated[int, Field(ge=1)]
    status: Literal["stored", "duplicate", "refused", "failed"]
    turn_id: str = ""
    log: str = ""
    position: Position = 1
    version: Version = 1
    recorded_at: Moment = ""
    error: Annotated[dict[str, Any], Field(description="As in an error's `error`, of a line that was not stored.")] = {}


class Retracted(_Shape):
    """The retraction, as it was stored."""

    session_id: str
    from_version: Version
    to_version: Version
    log: str
    position: Position
    recorded_at: Moment
    duplicate: Duplicate


class Queued(_Shape):
    """`GET /v1/tasks/{task_id}` says what becomes of it."""

    task_id: str
    log: str
    position: Position


class Remembered(_Shape):
    """Where the message stands."""

    memory_id: str
    stored: bool
    session_id: str
    version: Version
    position: Position
    duplicate: Duplicate
