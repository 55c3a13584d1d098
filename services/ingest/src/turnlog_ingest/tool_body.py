"""The body of the prototype's `store_memory` tool → a turn. Pure."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from turnlog_events.ids import SESSION_ID_PATTERN
from turnlog_ingest.turn_body import Id, Metadata, Moment, Parts, Text, invalid_field


class StoreMemoryBody(BaseModel):
    """A message of an agent. With no `session_id` it goes to the agent's own session."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"agent_id": "travel", "message": "Ana flies on Friday.", "role": "user"}]},
    )

    agent_id: Id
    message: Annotated[Text, Field(min_length=1)] | Parts
    role: Literal["user", "assistant", "system", "tool"] = "user"
    session_id: Annotated[str, Field(json_schema_extra={"pattern": SESSION_ID_PATTERN})] | None = None
    user_id: Id | None = None
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    metadata: Metadata | None = None
    occurred_at: Moment | None = None
    memory_id: Id | None = None


_VALIDATOR = TypeAdapter(StoreMemoryBody).validator


def memory_turn(raw: object) -> tuple[str | None, dict[str, Any]]:
    """(session id or None, the turn as `turn_event` takes it). Raises `InvalidField`."""
    try:
        body: StoreMemoryBody = _VALIDATOR.validate_python(raw)
    except ValidationError as error:
        raise invalid_field(error, "") from None
    turn = {
        "role": body.role,
        "content": body.message,
        "agent_id": body.agent_id,
        "user_id": body.user_id,
        "name": body.name,
        "metadata": body.metadata,
        "occurred_at": body.occurred_at,
        "turn_id": body.memory_id,
    }
    return body.session_id, turn
