"""What each tool takes: fields with their bounds, and the words a model reads about them."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator

from turnlog_client import new_turn_id
from turnlog_events.ids import AGENT_SESSION_PREFIX, agent_session

MESSAGE_MAX_CHARS = 200_000
TURNS_MAX, TURNS_DEFAULT = 100, 20
SESSIONS_MAX, SESSIONS_DEFAULT = 100, 20
TOKENS_MIN, TOKENS_MAX = 16, 100_000
VERSION_MAX = 2**53 - 1

_ID = r"[A-Za-z0-9._:@+#-]{1,200}"
Id = Annotated[str, Field(pattern=f"^{_ID}$")]
SessionId = Annotated[str, Field(pattern=f"^({AGENT_SESSION_PREFIX.replace('.', '[.]')})?{_ID}$")]

AGENT = "The agent whose memory this is, e.g. travel-planner. Use the same name in every call."
MIN_VERSION = "Never answer older than this version: give the one that store_memory returned to read your own write."


class Arguments(BaseModel):
    """The root of all tools' arguments: nothing but the fields named, and of the very types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OfSession(Arguments):
    """A session by its id, or an agent's own."""

    session_id: SessionId | None = Field(
        default=None, description="The conversation, as list_sessions or store_memory named it."
    )
    agent_id: Id | None = Field(default=None, description=f"{AGENT} Without a session_id: that agent's own session.")

    @model_validator(mode="after")
    def _names_one(self) -> "OfSession":
        if self.session_id is None and self.agent_id is None:
            raise ValueError("session_id: give it, or agent_id for that agent's own session")
        return self

    @property
    def session(self) -> str:
        """The session meant."""
        return self.session_id if self.session_id is not None else agent_session(self.agent_id or "")


class StoreMemory(OfSession):
    """One turn to store."""

    message: str = Field(
        min_length=1, max_length=MESSAGE_MAX_CHARS, description="What was said or is to be remembered, as plain text."
    )
    role: Literal["user", "assistant", "tool"] = Field(
        default="user", description="Who said it: user, assistant (you), or tool for the result of a tool."
    )
    turn_id: Annotated[Id, BeforeValidator(lambda given: new_turn_id() if given is None else given)] = Field(
        default_factory=new_turn_id,
        description="Your own id of this turn, e.g. a UUID. Give one, and repeat it when you repeat a call that "
        "failed, timed out or was cancelled: the turn is then stored once. An id holds one message for ever.",
    )
    user_id: Id | None = Field(default=None, description="The person who speaks or is spoken of.")
    name: str | None = Field(default=None, min_length=1, max_length=200, description="Display name of the speaker.")
    metadata: Annotated[dict[str, JsonValue], WithJsonSchema({"type": "object"})] | None = Field(
        default=None, description="Any JSON object to keep with the turn, up to 16 KiB."
    )


class GetRecentTurns(OfSession):
    """The newest turns of a session."""

    limit: int = Field(default=TURNS_DEFAULT, ge=1, le=TURNS_MAX, description="How many turns at most.")
    before_version: int | None = Field(
        default=None, ge=1, le=VERSION_MAX, description="Only turns before this version: to page back."
    )
    min_version: int | None = Field(default=None, ge=0, le=VERSION_MAX, description=MIN_VERSION)


class GetCompressedMemory(OfSession):
    """The summary of a session and the turns after it."""

    max_tokens: int | None = Field(
        default=None, ge=TOKENS_MIN, le=TOKENS_MAX, description="Size of the summary at most, in tokens."
    )
    min_version: int | None = Field(default=None, ge=0, le=VERSION_MAX, description=MIN_VERSION)


class GetContext(OfSession):
    """A context within a budget."""

    max_tokens: int | None = Field(
        default=None, ge=TOKENS_MIN, le=TOKENS_MAX, description="Budget in tokens (default: the server's, 4,000)."
    )
    min_version: int | None = Field(default=None, ge=0, le=VERSION_MAX, description=MIN_VERSION)


class ListSessions(Arguments):
    """A page of sessions."""

    agent_id: Id | None = Field(default=None, description="Only sessions in which this agent takes part.")
    user_id: Id | None = Field(default=None, description="Only sessions in which this user takes part.")
    limit: int = Field(default=SESSIONS_DEFAULT, ge=1, le=SESSIONS_MAX, description="How many sessions at most.")
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before.")
