"""Calling a model with everything around it: budget, breaker, retries with backoff, the reading of its answer.

Enters: a prompt. Leaves: lines with what they cost, or `ModelError` when the summary must be made without the model.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from turnlog_compressor.breaker import Breaker, BreakerSettings
from turnlog_compressor.budget import Budget, BudgetSettings
from turnlog_compressor.metrics import (
    BREAKER_STATE,
    LLM_CALL_SECONDS,
    LLM_CALLS,
    LLM_COST_DOLLARS,
    LLM_ERRORS,
    LLM_TOKENS,
)
from turnlog_compressor.models import Model, ModelError, Reply
from turnlog_compressor.models.port import BLAMELESS
from turnlog_compressor.parse import Unreadable, parse
from turnlog_compressor.prompt import Prompt
from turnlog_compressor.transcript import estimated_tokens
from turnlog_events.compose import Line
from turnlog_runtime.metrics import watch

OUTCOMES = ("ok", "unusable", "failed", "cancelled")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AttemptSettings:
    """`call_s` bounds one call, `total_s` all of them with the waits between; a `Retry-After` that does not fit into
    what is left of it ends the attempts. `spare_tokens` is what an answer may have above twice its budget (models that
    think before they write need it)."""

    attempts: int = 3
    call_s: float = 60.0
    total_s: float = 150.0
    backoff_s: float = 1.0
    backoff_max_s: float = 20.0
    spare_tokens: int = 1_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for a million tokens; 0 where it is not known."""

    input_dollars: float = 0.0
    output_dollars: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Dollars of one answer."""
        return (tokens_in * self.input_dollars + tokens_out * self.output_dollars) / 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Lines read from a model's answer, and what they cost in tokens (estimated where the server did not say)."""

    lines: tuple[Line, ...]
    tokens_in: int
    tokens_out: int
    model: str


class Attempts:
    """One model, guarded. `clock` gives monotonic seconds."""

    def __init__(
        self,
        model: Model,
        settings: AttemptSettings,
        breaker: BreakerSettings,
        budget: BudgetSettings,
        clock: Callable[[], float] = time.monotonic,
        prices: Prices = Prices(),
    ) -> None:
        self._model = model
        self._prices = prices
        self._settings = settings
        self._breaker = Breaker(breaker, clock)
        self._budget = Budget(budget, clock)
        self._calls = {outcome: LLM_CALLS.labels(model.provider, outcome) for outcome in OUTCOMES}
        watch(BREAKER_STATE.labels(model.provider), lambda: float(self._breaker.state))

    async def close(self) -> None:
        """Close the model's connections."""
        await self._model.close()

    async def ask(self, prompt: Prompt, at: Mapping[int, str], max_tokens: int, tenant: str = "") -> Answer:
        """Lines of about `max_tokens`, on the account of `tenant`. Raises `ModelError` when all attempts failed or none
        is allowed."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, ModelError) and error.retryable),
            wait=self._wait,
            stop=stop_after_attempt(self._settings.attempts) | stop_before_delay(self._settings.total_s),
            reraise=True,
        )
        answer: Answer = await retrying(self._attempt, prompt, at, max_tokens, tenant)
        return answer

    def _wait(self, state: RetryCallState) -> float:
        """Exponential with full jitter on top, and never sooner than the server asked."""
        settings = self._settings
        backoff = wait_exponential_jitter(settings.backoff_s, max=settings.backoff_max_s, jitter=settings.backoff_s)(
            state
        )
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ModelError) else None
        return max(backoff, asked or 0.0)

    async def _attempt(self, prompt: Prompt, at: Mapping[int, str], max_tokens: int, tenant: str) -> Answer:
        limit = 2 * max_tokens + self._settings.spare_tokens
        try:
            async with self._budget.spend(prompt.tokens + limit, tenant) as spent:
                reply = await self._call(prompt, at, limit)
                spent.used = reply.tokens_in + reply.tokens_out
                return reply
        except ModelError as error:
            LLM_ERRORS.labels(self._model.provider, error.kind).inc()
            _log.warning("model_call_failed", provider=self._model.provider, model=self._model.name, kind=error.kind)
            raise

    async def _call(self, prompt: Prompt, at: Mapping[int, str], limit: int) -> Answer:
        """One call through the breaker; an answer that cannot be read counts as a failure."""
        if not self._breaker.admit():
            raise ModelError("breaker_open")
        verdict = self._breaker.released
        began, outcome = time.perf_counter(), "cancelled"
        try:
            reply = await self._model.complete(prompt, max_tokens=limit, deadline_s=self._settings.call_s)
            outcome = "unusable"
            answer = self._read(reply, prompt, at)
            outcome = "ok"
            verdict = self._breaker.succeeded
            return answer
        except ModelError as error:
            outcome = "failed" if outcome == "cancelled" else outcome
            verdict = self._breaker.released if error.kind in BLAMELESS else self._breaker.failed
            raise
        finally:
            verdict()
            self._calls[outcome].inc()
            LLM_CALL_SECONDS.labels(self._model.provider).observe(time.perf_counter() - began)

    def _read(self, reply: Reply, prompt: Prompt, at: Mapping[int, str]) -> Answer:
        tokens_in = reply.tokens_in or prompt.tokens
        tokens_out = reply.tokens_out or estimated_tokens(reply.text)
        LLM_TOKENS.labels(self._model.provider, "in").inc(tokens_in)
        LLM_TOKENS.labels(self._model.provider, "out").inc(tokens_out)
        if cost := self._prices.of(tokens_in, tokens_out):
            LLM_COST_DOLLARS.labels(self._model.provider).inc(cost)
        try:
            return Answer(parse(reply.text, prompt, at), tokens_in, tokens_out, reply.model)
        except Unreadable as error:
            raise ModelError("too_long" if error.why == "too_long" else "garbage") from None
