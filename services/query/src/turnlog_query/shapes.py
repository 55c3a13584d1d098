"""The shapes of answers, for the OpenAPI document only: answers are made as bytes, and held to these by a test that
calls every route. HTTP edge."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Version = Annotated[int, Field(ge=0, description="A version of the session; 0: before its first turn.")]
Position = Annotated[int, Field(ge=1, description="A place in the log.")]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Tokens = Annotated[int, Field(ge=0, description="Counted with `token_counter`.")]
Source = Annotated[Literal["redis", "postgres"], Field(description="Which store answered.")]
Stale = Annotated[bool, Field(description="There when true: PostgreSQL is away, so Redis could not be checked.")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in hex.")]
Content = Annotated[
    str | list[dict[str, Any]], Field(description="What was said, as it was sent: data, whatever it asks for.")
]
TurnId = Annotated[str, Field(description="Unique in the session.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Range(_Shape):
    """Versions, both ends included."""

    from_version: Version
    to_version: Version


class SummaryRange(Range):
    """The part of a context that is the summary."""

    tokens: Tokens


class Turn(_Shape):
    """A turn: where it stands, and the fields as they were sent."""

    version: Annotated[int, Field(ge=1)]
    turn_id: TurnId
    log: str
    position: Position
    recorded_at: Moment
    tokens: Tokens
    role: Annotated[Literal["user", "assistant", "system", "tool"], Field(description="Who said it, as sent.")]
    content: Content
    name: str = ""
    agent_id: str = ""
    user_id: str = ""
    metadata: dict[str, Any] = {}
    occurred_at: str = ""
    tool_calls: list[dict[str, Any]] = []
    tool_call_id: str = ""


class OfSession(_Shape):
    """What the answer is of."""

    session_id: str
    version: Version
    revision: Annotated[int, Field(ge=0, description="Grows with each summary and retraction.")]
    source: Source
    stale: Stale = True


class Turns(OfSession):
    """Turns, oldest first."""

    turns: list[Turn]


class Node(Range):
    """A stored summary that the text was taken from."""

    made_at: Moment
    event_id: str
    position: Position
    level: Annotated[int, Field(ge=1, description="1: made from turns; n + 1: from summaries of level n.")]
    revision: Annotated[int, Field(ge=1)]
    model: str
    prompt_version: str
    tokens_in: Annotated[int, Field(ge=0)]
    tokens_out: Annotated[int, Field(ge=0)]
    sources: Annotated[list[str], Field(description="The events it was made from; empty for level 1.")]


class Summary(OfSession):
    """The rolling summary; one that covers nothing has an empty text."""

    text: str
    from_version: Version
    to_version: Version
    covered_to: Version
    tokens: Tokens
    max_tokens: int
    token_counter: str
    turn_versions: Annotated[list[int], Field(description="The turns that its lines were taken from.")]
    nodes: Annotated[list[Node], Field(description="Its lineage.")]


class Cut(_Shape):
    """A newest turn that was larger than the budget."""

    version: Version
    tokens_left_out: int


class Context(OfSession):
    """What to put into a prompt."""

    format: Literal["openai", "anthropic", "text"]
    max_tokens: int
    tokens: Tokens
    token_counter: str
    covered_to: Version
    summary: SummaryRange | None
    turns: Range | None
    left_out: Annotated[Range | None, Field(description="What is in neither part.")]
    cut: Cut | None
    unpaired: Annotated[list[int], Field(description="Turns whose tool call or result is not there.")]
    messages: Annotated[list[dict[str, Any]], Field(description="With `openai` and `anthropic`.")] = []
    system: Annotated[str, Field(description="With `anthropic`.")] = ""
    text: Annotated[str, Field(description="With `text`.")] = ""


class ReadModel(_Shape):
    """How far Redis is (null: it cannot say), and PostgreSQL (null: it is away)."""

    version: int | None
    position: int | None
    stored_version: int | None


class Head(OfSession):
    """The head of a session. What needs every turn is null in a very long one that Redis does not hold."""

    log: str
    position: Position
    created_at: Moment
    last_at: Moment
    agents: list[str] | None
    users: list[str] | None
    tokens: Tokens | None
    token_counter: str
    covered_to: Version
    retracted: list[Range]
    read_model: ReadModel


class SessionRow(_Shape):
    """One session of a list."""

    session_id: str
    log: str
    position: Position
    created_at: Moment


class Sessions(_Shape):
    """Sessions, newest first."""

    sessions: list[SessionRow]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class TaskSummary(Range):
    """The summary that a task made."""

    event_id: str
    position: Position
    level: int
    revision: int


class Task(_Shape):
    """A compression that was asked for."""

    task_id: str
    state: Literal["queued", "running", "done", "failed", "skipped"]
    session_id: str
    up_to_version: Version
    requested_at: Moment
    ended_at: Moment | None
    reason: Annotated[str | None, Field(description="Why it failed or was skipped.")]
    summary: TaskSummary | None


class Log(_Shape):
    """The head of a log."""

    log: str
    incarnation: str
    position: Annotated[int, Field(ge=0)]
    chain_hash: Hash


class Event(_Shape):
    """An event, whole: `turnlog_events.hashing` says how its hashes are made."""

    position: Position
    event_id: str
    tenant: str
    session_id: str
    version: int | None
    type: str
    schema_version: int
    key: str
    recorded_at: Moment
    recorded_at_us: int
    causation_id: str | None
    correlation_id: str | None
    trace: Annotated[str | None, Field(description="The `traceparent` of the request that stored it.")]
    key_id: str
    payload_sha256: Hash
    chain_hash: Hash
    payload: dict[str, Any]


class LogEvents(_Shape):
    """Events of the tenant, in order; gaps in positions are other tenants' events."""

    log: str
    incarnation: str
    after: int
    events: list[Event]
    next_after: Annotated[int | None, Field(description="Null when there were no more.")]


class AgentTurns(Turns):
    """The newest turns of an agent."""

    agent_id: str


class AgentMemory(AgentTurns):
    """The summary up to `covered_to`, and every turn after it."""

    summary: str
    covered_to: Version
    tokens: Tokens
    token_counter: str
    left_out: Annotated[Range | None, Field(description="Older turns that did not fit.")]
