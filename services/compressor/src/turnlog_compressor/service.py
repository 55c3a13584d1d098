"""The compressor put together from settings; used by `__main__` and by whoever runs all services in one process."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from turnlog_bus import Bus, BusError, StreamName
from turnlog_compressor.attempts import Attempts, AttemptSettings, Prices
from turnlog_compressor.breaker import BreakerSettings
from turnlog_compressor.budget import BudgetSettings
from turnlog_compressor.compressor import CONSUMER, Compressor, CompressorLimits
from turnlog_compressor.job import JobSettings
from turnlog_compressor.metrics import LAG
from turnlog_compressor.models import Model
from turnlog_compressor.orders import WatchSettings
from turnlog_compressor.plan import PlanSettings
from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.runs import RunSettings
from turnlog_compressor.summariser import Summariser, SummariserSettings
from turnlog_compressor.traced import LINKS_KEPT, TracedModel, tracing_orders
from turnlog_eventstore import Store, StoreError, StoreSettings, each_log
from turnlog_follow import Follower, FollowerLag, Lags
from turnlog_follow.fence import Fence, FenceWatch
from turnlog_runtime.settings import CompressorSettings, SettingsError

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces


async def compress(
    store: Store,
    bus: Bus | None,
    settings: CompressorSettings,
    summariser: Summariser,
    stop: asyncio.Event,
    traces: "Traces | None" = None,
) -> None:
    """Run a compressor for each log (or those in the settings) until `stop` is set, then close the summariser.

    All share the summariser, and so the model's budget and breaker. One whose log was replaced begins again alone.
    """
    limits = limits_of(settings, LINKS_KEPT if traces is not None else 0)
    lags = Lags(store)

    async def compress_one(log: str) -> None:
        lag = FollowerLag(log, CONSUMER, lambda: store.leads(f"{CONSUMER}/{log}"), [LAG.labels(log)])
        lags.add(lag)
        follower = Follower(store, bus, log, lag=lag)
        watched = tracing_orders(traces, log) if traces is not None else nullcontext
        if bus is None:
            await Compressor(store, follower, summariser, limits, watched=watched).run(stop)
            return
        watch = FenceWatch(store, bus, log, Fence(log))
        announce = _hinting(store, bus, log)
        compressor = Compressor(
            store, follower, summariser, limits, announce=announce, append=watch.append, watched=watched
        )
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch.run(stop))
            try:
                await compressor.run(stop)
            finally:
                watching.cancel()
                await watch.close()

    try:
        async with lags.kept():
            await each_log(store, settings.logs_to_lead, compress_one, stop, end_s=limits.drain_s + 1)
    finally:
        await summariser.close()


def _hinting(store: Store, bus: Bus, log: str) -> Callable[[], Awaitable[None]]:
    """Tells the relay, by a message that may be lost, that the log moved."""

    async def announce() -> None:
        try:
            head = await store.head(log)
            await bus.client()
            await bus.hint(StreamName(log, head.incarnation))
        except (BusError, StoreError):
            return

    return announce


def store_settings(settings: CompressorSettings) -> StoreSettings:
    """The store's limits in the settings."""
    return StoreSettings(
        pool_connections=settings.database_connections, deadline_s=settings.deadline_s, role=settings.database_role
    )


def summariser_of(settings: CompressorSettings, traces: "Traces | None" = None) -> Summariser:
    """The summariser in the settings. No connection is made before the first summary. Raises `SettingsError`."""
    sizes = SummariserSettings(settings.segment_max_tokens, settings.rollup_max_tokens)
    model = model_of(settings)
    if model is None:
        return Summariser(None, sizes)
    attempts = Attempts(
        model if traces is None else TracedModel(model, settings.model_base_url, traces),
        AttemptSettings(
            attempts=settings.model_attempts,
            call_s=settings.model_timeout_s,
            total_s=2.5 * settings.model_timeout_s,
        ),
        BreakerSettings(settings.breaker_failures, settings.breaker_open_s),
        BudgetSettings(
            settings.model_concurrency,
            settings.model_tokens_per_minute,
            tenant_tokens_per_minute=settings.model_tenant_tokens_per_minute,
        ),
        prices=Prices(settings.model_input_price, settings.model_output_price),
    )
    return Summariser(attempts, sizes)


def model_of(settings: CompressorSettings) -> Model | None:
    """The model in the settings, None for extractive summaries. The SDKs are imported only when one is asked for."""
    if settings.model_provider == "extractive":
        return None
    if not settings.model_name:
        raise SettingsError("TURNLOG_MODEL_NAME is not set: name the model that writes summaries")
    key = settings.model_api_key.get_secret_value() if settings.model_api_key else ""
    if settings.model_provider == "openai":
        from turnlog_compressor.models.openai_compatible import OPENAI_URL, OpenAICompatible

        return OpenAICompatible(settings.model_name, api_key=key, base_url=settings.model_base_url or OPENAI_URL)
    if not key:
        raise SettingsError("TURNLOG_MODEL_API_KEY is not set: Anthropic needs a key")
    from turnlog_compressor.models.anthropic import ANTHROPIC_URL, Anthropic

    return Anthropic(settings.model_name, api_key=key, base_url=settings.model_base_url or ANTHROPIC_URL)


def limits_of(settings: CompressorSettings, traces_max: int = 0) -> CompressorLimits:
    """The limits in the settings. Of each session `traces_max` of the traces that led to it are remembered."""
    tail_tokens = min(PolicySettings().tail_tokens, settings.compress_tokens // 3)
    policy = PolicySettings(
        turns=settings.compress_turns,
        tokens=settings.compress_tokens,
        idle_s=settings.compress_idle_s,
        idle_turns=min(settings.compress_idle_turns, settings.compress_turns),
        tail_turns=min(settings.compress_tail_turns, settings.compress_turns - 1),
        tail_tokens=tail_tokens,
    )
    runs = RunSettings(
        tokens_min=2 * settings.segment_max_tokens,
        chapter_turns=settings.chapter_max_turns,
        chapter_gap_s=settings.chapter_gap_s,
    )
    plan = PlanSettings(policy, runs, settings.rollup_fan_in, gap_versions=settings.compress_turns)
    return CompressorLimits(
        job=JobSettings(plan, page_turns=max(100, 2 * settings.compress_turns + runs.turns_min)),
        watch=WatchSettings(
            waiting_max=settings.compress_pending_sessions,
            left_alone=tuple(filter(None, settings.compress_not.split(","))),
            traces_max=traces_max,
        ),
        workers=settings.compress_workers,
        drain_s=settings.shutdown_s,
    )
