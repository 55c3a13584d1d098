"""Query parameters of each route: their limits, defaults and words for the documentation. The HTTP edge
only."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from turnlog_events.ids import ID_PATTERN
from turnlog_runtime.routes import DIGITS

LIMIT_DEFAULT, LIMIT_MAX = 20, 1_000
AUDIT_LIMIT_DEFAULT = 100
WAIT_MS_DEFAULT, WAIT_MS_MAX = 2_000, 10_000
TOKENS_MIN, TOKENS_MAX = 16, 1_000_000
VERSION_MAX = 2**53 - 1

Version = Annotated[int, Field(ge=0, le=VERSION_MAX), DIGITS]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX), DIGITS]
MaxTokens = Annotated[int, Field(ge=TOKENS_MIN, le=TOKENS_MAX), DIGITS]
MinVersion = Annotated[
    Version,
    Field(
        description="Never answer older than this version of the session, as a write returned it. "
        "A version that was never stored is 409 `version_not_reached`."
    ),
]
WaitMs = Annotated[
    int,
    Field(
        ge=0,
        le=WAIT_MS_MAX,
        description="How long to wait for the read model to reach `min_version` before PostgreSQL answers.",
    ),
    DIGITS,
]
Fresh = Annotated[
    bool,
    Field(
        description="Answer from PostgreSQL, whatever the read model has: nothing that was acknowledged to anybody "
        "before this call is missing, neither turns nor retractions. 503 while PostgreSQL is away."
    ),
]
IdFilter = Annotated[str | None, Field(json_schema_extra={"pattern": ID_PATTERN})]


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(_Params):
    """A call without parameters."""


class SessionsParams(_Params):
    """GET /v1/sessions."""

    agent_id: IdFilter = Field(None, description="Only sessions in which this agent speaks or is remembered.")
    user_id: IdFilter = Field(None, description="Only sessions in which this user speaks or is remembered.")
    limit: Limit = Field(LIMIT_DEFAULT, description="How many sessions at most.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


class TurnsParams(_Params):
    """GET /v1/sessions/{session_id}/turns."""

    limit: Limit = Field(LIMIT_DEFAULT, description="How many turns at most.")
    before_version: Annotated[int, Field(ge=1, le=VERSION_MAX), DIGITS] | None = Field(
        None, description="Only turns before this version."
    )
    after_version: Version | None = Field(
        None, description="Only turns after this version; then the first `limit` of them, not the newest."
    )
    agent_id: IdFilter = Field(None, description="Only turns of this agent.")
    min_version: MinVersion = 0
    wait_ms: WaitMs = WAIT_MS_DEFAULT
    fresh: Fresh = False


class SummaryParams(_Params):
    """GET /v1/sessions/{session_id}/summary."""

    max_tokens: MaxTokens | None = Field(None, description="The text's size at most; the default is the deployment's.")
    min_version: MinVersion = 0
    wait_ms: WaitMs = WAIT_MS_DEFAULT
    fresh: Fresh = False


class ContextParams(_Params):
    """GET /v1/sessions/{session_id}/context."""

    max_tokens: MaxTokens | None = Field(None, description="The budget; the default is the deployment's (4,000).")
    format: Literal["openai", "anthropic", "text"] = Field("openai", description="Whose messages to make.")
    min_version: MinVersion = 0
    wait_ms: WaitMs = WAIT_MS_DEFAULT
    fresh: Fresh = False


class StreamParams(_Params):
    """GET /v1/sessions/{session_id}/events."""

    after_version: Version | None = Field(
        None, description="Start after this version; `Last-Event-ID` comes before it. Neither: from the first."
    )


class AuditParams(_Params):
    """GET /v1/logs/{log}/events."""

    after: Version = Field(0, description="Only events after this position.")
    limit: Limit = Field(AUDIT_LIMIT_DEFAULT, description="How many events at most.")
