"""Settings: one frozen class per service, read once from the environment and passed down.

Every variable starts with `TURNLOG_`; `DATABASE_URL`, `NATS_URL`, `REDIS_URL` and `SECRET_KEY` are understood beside
their prefixed names. A secret or an address may be in a file instead, named by `<NAME>_FILE`. All classes live here, so
that a variable meant for one service is known to all, and one that no service knows is an error with the nearest known
name: never a silent default.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, AliasChoices, Field, SecretStr

from turnlog_runtime.door_settings import DoorSettings
from turnlog_runtime.setting_facts import PREFIX, TWIN, takes_file, variables
from turnlog_runtime.setting_marks import HTTP, NATS, POSTGRES, REDIS, Allowed, Unit
from turnlog_runtime.setting_problems import SettingsError
from turnlog_runtime.settings_given import Origin
from turnlog_runtime.settings_read import Reading, reading_of

TURNS_PER_REQUEST = 1_000
"""The most turns that one request may store."""

READ_ELSEWHERE = frozenset(
    {
        "TURNLOG_POSTGRES_BIN",
        "TURNLOG_NATS_BIN",
        "TURNLOG_VALKEY_BIN",
        "TURNLOG_URL",
        "TURNLOG_API_KEY",
        "TURNLOG_API_KEY_FILE",
    }
)
"""Variables that no service reads: where the embedded servers' executables are, which server the CLI calls and what it
shows there."""

LOG_NAME = Allowed("a log's name: 1 to 32 of a-z 0-9 -, the first no -")
LOG_NAMES = Allowed("names of logs, by comma, without spaces; or empty")


def _url(name: str) -> AliasChoices:
    return AliasChoices(f"{PREFIX}{name}", name)


class SharedSettings(DoorSettings):
    """What several services need. Where the servers are, which logs, how to speak of oneself."""

    serves_api: ClassVar[bool] = True

    database_url: Annotated[SecretStr | None, POSTGRES] = Field(default=None, validation_alias=_url("DATABASE_URL"))
    """PostgreSQL, as `postgresql://user:password@host:5432/name`. `turnlog up` starts one itself where it is not
    given."""
    database_owner_url: Annotated[SecretStr | None, POSTGRES] = None
    """PostgreSQL as the schema's owner, for migrations and keys; without it, `TURNLOG_DATABASE_URL`. No service reads
    it."""
    nats_url: Annotated[SecretStr | None, NATS] = Field(default=None, validation_alias=_url("NATS_URL"))
    """NATS, as `nats://user:password@host:4222` (`tls://` for TLS): one server, it tells of the others. Query,
    projector and compressor work without it, a little later."""
    redis_url: Annotated[SecretStr | None, REDIS] = Field(default=None, validation_alias=_url("REDIS_URL"))
    """Redis or Valkey, as `redis://user:password@host:6379/0` (`rediss://` for TLS), or `unix:///path/of/socket`."""
    secret_key: SecretStr | None = Field(default=None, validation_alias=_url("SECRET_KEY"))
    """Reserved for signing; nothing uses it yet."""
    data_dir: str = ".turnlog"
    """Where `turnlog up` keeps the servers it starts itself."""
    log: Annotated[str, LOG_NAME] = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    """The log of every tenant that is not assigned to another one."""
    logs: Annotated[str, LOG_NAMES] = Field(
        default="", pattern=r"^([a-z0-9][a-z0-9-]{0,31}(,[a-z0-9][a-z0-9-]{0,31})*)?$"
    )
    """The logs this process may lead (relay, projector, compressor), by comma; empty: all, also those created later."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """The least important lines that are logged; at `debug` each request has one."""
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """The port of /metrics. A service with an HTTP API serves it there, and then no more on its own port (0: on its
    own); one without serves /livez and /readyz there, too (0: nowhere)."""
    database_connections: int = Field(default=8, ge=1, le=200)
    """The most connections to PostgreSQL that the process's pool holds; leaderships have one more each."""
    database_role: str = "turnlog_app"
    """The role every session takes on: it may read and append, never change."""
    deadline_s: float = Field(default=5.0, gt=0, le=60)
    """The longest any call to PostgreSQL may take, and with it a write request."""
    shutdown_s: float = Field(default=10.0, gt=0, le=300)
    """How long a stopping process may finish what it has begun."""
    drain_s: float = Field(default=0.3, ge=0, le=300)
    """How long a stopping process still takes requests, so that balancers and clients can leave it in order."""
    recent_turns: int = Field(default=200, ge=1, le=10_000)
    """The window of recent turns that Redis holds of each session."""
    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of a log's JetStream stream, on as many servers of a NATS cluster; 3 outlives the loss of one."""
    stream_max_bytes: int = Field(default=0, ge=0)
    """Bound of a log's JetStream stream (0: none); older events come from PostgreSQL."""
    stream_max_age_s: float = Field(default=0.0, ge=0)
    """How long a log's JetStream stream keeps an event (0: for ever); older events come from PostgreSQL."""

    def problems(self) -> Iterator[str]:
        """See `DoorSettings.problems`."""
        yield from super().problems()
        if self.serves_api and self.metrics_port and self.metrics_port == self.port:
            yield (
                f"{PREFIX}METRICS_PORT and {PREFIX}PORT are both {self.port}: give one of them another port, or unset "
                f"{PREFIX}METRICS_PORT"
            )

    @property
    def logs_to_lead(self) -> frozenset[str]:
        """The names in `logs`; empty for all."""
        return frozenset(filter(None, self.logs.split(",")))


def _turns(value: int) -> int:
    if 0 < value < TURNS_PER_REQUEST:
        raise ValueError(f"must be 0 (no limit), or at least the {TURNS_PER_REQUEST} turns that one request may store")
    return value


TurnLimit = Annotated[
    int, Field(ge=0), AfterValidator(_turns), Allowed(f"0, or a whole number from {TURNS_PER_REQUEST:,}")
]


class LimitedSettings(SharedSettings):
    """What callers of the HTTP APIs may do. 0: no limit. With `auth` off only those apply that are set."""

    limit_key_requests_per_minute: int = Field(default=6_000, ge=0)
    """Requests of each credential in any minute."""
    limit_tenant_requests_per_minute: int = Field(default=30_000, ge=0)
    """Requests of all credentials of a tenant in any minute."""
    limit_key_turns_per_minute: TurnLimit = 60_000
    """Turns that each credential may send in any minute, duplicates among them."""
    limit_tenant_turns_per_minute: TurnLimit = 300_000
    """Turns that all credentials of a tenant may send in any minute."""
    limit_tenant_turns_per_day: TurnLimit = 0
    """Turns that all credentials of a tenant may send in any 24 hours."""
    limit_tenant_compressions_per_hour: int = Field(default=120, ge=0)
    """Compressions that each tenant may ask for in any hour."""
    limit_lease_share: Annotated[float, Unit("share")] = Field(default=0.02, gt=0, le=0.2)
    """The part of a minute's limit that one process takes from Redis at a time. It bounds how far the limits may be
    overstepped: by twice this part for each process."""
    limit_replicas: Annotated[int, Unit("processes")] = Field(default=1, ge=1, le=1_000)
    """The processes among which limits are divided while Redis is away and each counts alone."""
    limit_redis_deadline_s: float = Field(default=0.05, gt=0, le=1)
    """How long Redis may take to grant a lease before it counts as away."""


class IngestSettings(LimitedSettings):
    """The write API, group commit and relay."""

    body_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest body of one write request."""
    bulk_max_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """The largest body of a bulk load."""
    commit_batch_events: int = Field(default=1000, ge=1, le=10_000)
    """The most events one transaction takes."""
    commit_shared_batch_events: int = Field(default=100, ge=1, le=10_000)
    """While several tenants write, a transaction takes no further request once it has so many events: whoever comes
    next waits for it."""
    commit_queue_events: int = Field(default=30_000, ge=1)
    """Events that may wait for a commit (of one tenant: two thirds of them); beyond, writes get 503 with
    Retry-After."""
    relay_batch_events: int = Field(default=500, ge=1, le=1000)
    """The most events that the relay reads and publishes at a time."""
    relay_poll_s: float = Field(default=1.0, gt=0, le=60)
    """How often the relay looks for events that nobody told it of."""
    fence_check_s: float = Field(default=1.0, gt=0, le=60)
    """How often each replica compares JetStream's end with PostgreSQL's, to refuse writes when PostgreSQL lost its
    tail."""


class QuerySettings(LimitedSettings):
    """The read API."""

    views_deadline_s: float = Field(default=0.25, gt=0, le=10)
    """How long Redis may take before a read goes to PostgreSQL."""
    read_deadline_s: float = Field(default=5.0, gt=0, le=60)
    """The longest a read may take in all; what `wait_ms` asks for comes on top."""
    wait_max_s: float = Field(default=10.0, ge=0, le=60)
    """The longest `wait_ms` a client may ask for."""
    summary_max_tokens: int = Field(default=1_100, ge=16)
    """Size of the served summary when the request names none."""
    context_max_tokens: int = Field(default=4_000, ge=16)
    """Size of the served context when the request names none."""
    sse_queue_events: int = Field(default=1_000, ge=1)
    """Events a live subscriber may lag behind before it is cut."""
    sse_heartbeat_s: float = Field(default=15.0, gt=0)
    """How often a live stream without events says that it lives."""
    api_document: Annotated[str, Allowed("the path of a file; or empty")] = ""
    """The file that `/openapi.json` answers with, as `turnlog openapi` writes it: the whole API, of which query alone
    knows its half. The images have it."""


class ProjectorSettings(SharedSettings):
    """Events to read models."""

    serves_api = False

    apply_batch_events: int = Field(default=1000, ge=1, le=10_000)
    """The most events that the projector applies at a time."""
    view_idle_s: int = Field(default=0, ge=0)
    """Sessions untouched for so long leave Redis (0: never); they come back from PostgreSQL."""
    rebuild_events_per_s: int = Field(default=0, ge=0)
    """The most events a second that a rebuild applies (0: as fast as it goes while the live read models keep up)."""
    rebuild_keep_s: float = Field(default=3_600.0, ge=0)
    """How long the read models before a rebuild are kept for `turnlog rebuild --rollback`."""
    rebuild_auto: bool = True
    """Whether read models made by another projection version are rebuilt without being asked."""


class CompressorSettings(SharedSettings):
    """Rolling summaries."""

    serves_api = False

    model_provider: str = Field(default="extractive", pattern="^(extractive|openai|anthropic)$")
    """Who writes the summaries: `openai` is every OpenAI-compatible server, `extractive` picks sentences and needs no
    network."""
    model_name: str = ""
    """The model, by its provider's name for it; a provider needs one."""
    model_base_url: Annotated[str, HTTP] = ""
    """Any OpenAI-compatible endpoint; empty: the provider's own."""
    model_api_key: SecretStr | None = None
    """The provider's key; a server of your own may need none."""
    model_timeout_s: float = Field(default=60.0, gt=0, le=600)
    """How long one call of the model may take; all attempts together two and a half times as long."""
    model_attempts: int = Field(default=4, ge=1, le=10)
    """How often the model is asked for one summary before it is made without it."""
    model_concurrency: Annotated[int, Unit("calls")] = Field(default=4, ge=1, le=100)
    """Calls of the model at a time."""
    model_tokens_per_minute: int = Field(default=200_000, ge=1_000)
    """The most tokens, in and out, of all calls in any minute."""
    model_tenant_tokens_per_minute: int = Field(default=0, ge=0)
    """Of these, what one tenant's summaries may use; beyond, they are made without the model (0: no bound)."""
    model_input_price: Annotated[float, Unit("dollars")] = Field(default=0.0, ge=0)
    """Dollars for a million tokens that the model reads, for the metric `llm_cost_dollars_total`; 0: not known."""
    model_output_price: Annotated[float, Unit("dollars")] = Field(default=0.0, ge=0)
    """Dollars for a million tokens that the model writes; 0: not known."""
    breaker_failures: int = Field(default=5, ge=1)
    """Failed calls in a row after which the model is left alone for a while."""
    breaker_open_s: float = Field(default=30.0, gt=0)
    """How long it is left alone, before one call tries it."""
    compress_turns: int = Field(default=40, ge=2)
    """Turns not yet covered that make a session due."""
    compress_tokens: int = Field(default=3_000, ge=100)
    """Tokens not yet covered that make a session due."""
    compress_idle_s: float = Field(default=600.0, gt=0)
    """Silence after which a session with fewer turns is due too."""
    compress_idle_turns: int = Field(default=8, ge=1)
    """Turns not yet covered that a silent session must have to be due."""
    compress_tail_turns: int = Field(default=10, ge=0)
    """Newest turns left verbatim unless a compression is asked for."""
    chapter_gap_s: float = Field(default=3_600.0, gt=0)
    """A pause between turns that ends a chapter."""
    chapter_max_turns: int = Field(default=60, ge=2)
    """The most turns of a chapter."""
    segment_max_tokens: int = Field(default=400, ge=50)
    """Size of the summary of one chapter."""
    rollup_fan_in: Annotated[int, Unit("summaries")] = Field(default=8, ge=2)
    """Summaries of one level that are summed up in one of the next."""
    rollup_max_tokens: int = Field(default=1_600, ge=100)
    """Size of such a summary of summaries."""
    compressor_nice: Annotated[int, Unit("nice value")] = Field(default=10, ge=0, le=19)
    """How far the compressor's process gives way to others on the same machine (the scheduler's nice value)."""
    compress_workers: int = Field(default=2, ge=1, le=64)
    """Sessions of a log that are summed up at a time."""
    compress_pending_sessions: int = Field(default=10_000, ge=1)
    """Sessions of a log that the compressor keeps in mind as due; of more it learns again later."""
    compress_not: str = "langgraph."
    """Beginnings of session ids, by comma, that are compressed only when somebody asks for it: what they hold is a
    program's state, nothing that was said, and a summary of it would cost a model's call each 40 turns."""

    def problems(self) -> Iterator[str]:
        """See `DoorSettings.problems`."""
        yield from super().problems()
        if self.model_provider == "extractive":
            return
        if not self.model_name:
            yield (
                f"{PREFIX}MODEL_NAME is not set: name the model of {self.model_provider} that writes summaries, or "
                f"unset {PREFIX}MODEL_PROVIDER for summaries without one"
            )
        if self.model_provider == "anthropic" and self.model_api_key is None:
            yield f"{PREFIX}MODEL_API_KEY is not set: Anthropic needs a key (or {PREFIX}MODEL_API_KEY{TWIN} its file)"


class McpSettings(SharedSettings):
    """The MCP server."""

    mcp_api_url: Annotated[str, HTTP] = Field(default="", pattern=r"^(https?://\S+)?$")
    """The API that `python -m turnlog_mcp` calls; `turnlog up` calls its own in the same process."""
    mcp_call_s: float = Field(default=15.0, gt=0, le=300)
    """How long the API may take for one MCP request, repeated calls included."""
    mcp_allowed_hosts: Annotated[str, Allowed("names of hosts, by comma, without spaces; or empty")] = Field(
        default="", pattern=r"^\S*$"
    )
    """The names, by comma, under which clients reach /mcp (`memory.example.com`), besides this machine's own."""
    mcp_allowed_origins: Annotated[str, Allowed("origins, by comma, without spaces; or empty")] = Field(
        default="", pattern=r"^\S*$"
    )
    """The web pages' origins, by comma, that may call /mcp (`https://app.example.com`), besides this machine's own."""
    mcp_body_max_bytes: int = Field(default=1024 * 1024, ge=1024)
    """The largest MCP request."""
    mcp_answer_max_chars: int = Field(default=60_000, ge=1_000)
    """The most stored text in one MCP answer (about 15,000 tokens); what is left out is named in the answer."""

    @property
    def mcp_hosts(self) -> tuple[str, ...]:
        """The names in `mcp_allowed_hosts`."""
        return tuple(filter(None, self.mcp_allowed_hosts.split(",")))

    @property
    def mcp_origins(self) -> tuple[str, ...]:
        """The origins in `mcp_allowed_origins`."""
        return tuple(filter(None, self.mcp_allowed_origins.split(",")))


ALL_SETTINGS: tuple[type[SharedSettings], ...] = (
    IngestSettings,
    QuerySettings,
    ProjectorSettings,
    CompressorSettings,
    McpSettings,
)
S = TypeVar("S", bound=SharedSettings)


def known_variables() -> set[str]:
    """Every `TURNLOG_` variable that something reads."""
    names = {
        variable + ending
        for settings in ALL_SETTINGS
        for name, info in settings.model_fields.items()
        for variable in variables(name, info)
        for ending in (("", TWIN) if takes_file(name, info) else ("",))
    }
    return {name for name in names if name.startswith(PREFIX)} | READ_ELSEWHERE


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A problem for each `TURNLOG_` variable that nothing reads."""
    known = known_variables()
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        if name.upper().removesuffix(TWIN) in known:
            yield f"unknown setting {name}: only secrets and addresses are read from files, set {name[: -len(TWIN)]}"
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1)
        yield f"unknown setting {name}: " + (f"did you mean {near[0]}?" if near else "unset it")


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` for `TURNLOG_` variables that nothing reads."""
    if problems := [*unknown_variables(environment)]:
        raise SettingsError(*problems)


def read(settings: type[S], environment: Mapping[str, str], chosen: Mapping[str, object] | None = None) -> Reading[S]:
    """The settings of a service from an environment; `chosen`, by field, wins over it (the command line)."""
    reading = reading_of(settings, environment, chosen or {})
    unknown = tuple(unknown_variables(environment))
    return replace(reading, problems=unknown + reading.problems, settings=None if unknown else reading.settings)


def load(settings: type[S], **chosen: object) -> S:
    """The settings of a service from the environment; `chosen` wins over it. Raises `SettingsError` with every
    problem there is."""
    reading = read(settings, os.environ, chosen)
    if reading.settings is None:
        raise SettingsError(*reading.problems)
    return reading.settings


def check_all(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` with every problem of every service's settings."""
    problems = [problem for settings in ALL_SETTINGS for problem in read(settings, environment).problems]
    if problems:
        raise SettingsError(*dict.fromkeys(problems))


def required_url(value: SecretStr | None, name: str) -> str:
    """The address, or `SettingsError` naming the variable to set."""
    if value is None or not value.get_secret_value():
        raise SettingsError(
            f"{PREFIX}{name} is not set: give the address of the server (or a file with it in {PREFIX}{name}{TWIN}), "
            "or use `turnlog up`"
        )
    return value.get_secret_value()


__all__ = [
    "ALL_SETTINGS",
    "PREFIX",
    "READ_ELSEWHERE",
    "CompressorSettings",
    "IngestSettings",
    "McpSettings",
    "Origin",
    "ProjectorSettings",
    "QuerySettings",
    "Reading",
    "SettingsError",
    "SharedSettings",
    "check_all",
    "check_environment",
    "known_variables",
    "load",
    "read",
    "required_url",
    "unknown_variables",
]
