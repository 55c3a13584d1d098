"""Spans of a compression and of the model's calls in it; only where traces are on.

A compression that was asked for goes on with the trace of the request. One that was not starts a trace of its own,
with links to the spans that stored the newest of the turns. What is appended remembers it, so that relay and projector
go on.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from turnlog_compressor.models import Model, ModelError, Reply
from turnlog_compressor.orders import Order
from turnlog_compressor.prompt import Prompt

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces

LINKS_KEPT = 8


def tracing_orders(traces: "Traces", log: str) -> Callable[[Order], AbstractContextManager[Order]]:
    """What gives an order with its trace, and a span while it is worked on."""

    @contextmanager
    def watched(order: Order) -> Iterator[Order]:
        asked_in = order.task.trace if order.task is not None else None
        attributes = {
            "turnlog.log": log,
            "turnlog.compression.reason": order.reason.value,
            "turnlog.version": order.version,
            "gen_ai.conversation.id": order.session_id,
        }
        with traces.following("compress", asked_in, attributes, order.seen_in if asked_in is None else ()) as span:
            yield order if span is None else replace(order, trace=traces.traceparent())

    return watched


class TracedModel:
    """A model whose calls are traced, by the GenAI conventions. No prompt and no answer is in a span, and no trace
    context is sent to the model's server, which is a stranger."""

    def __init__(self, inner: Model, base_url: str, traces: "Traces") -> None:
        self._inner, self._traces = inner, traces
        self.provider, self.name = inner.provider, inner.name
        self._known: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": inner.provider,
            "gen_ai.request.model": inner.name,
            "gen_ai.request.stream": True,
            **_server(base_url),
        }

    async def complete(self, prompt: Prompt, *, max_tokens: int, deadline_s: float) -> Reply:
        """See `Model.complete`."""
        asked = {**self._known, "gen_ai.request.max_tokens": max_tokens}
        if (session := self._traces.conversation()) is not None:
            asked["gen_ai.conversation.id"] = session
        with self._traces.child(f"chat {self.name}", asked) as span:
            try:
                reply = await self._inner.complete(prompt, max_tokens=max_tokens, deadline_s=deadline_s)
            except ModelError as error:
                if span is not None:
                    span.set_attribute("error.type", error.kind)
                raise
            if span is not None:
                span.set_attributes(_answered(reply))
            return reply

    async def close(self) -> None:
        """See `Model.close`."""
        await self._inner.close()


def _answered(reply: Reply) -> dict[str, Any]:
    """What is known of an answer; tokens only where the server counted them."""
    counted = {"gen_ai.usage.input_tokens": reply.tokens_in, "gen_ai.usage.output_tokens": reply.tokens_out}
    return {"gen_ai.response.model": reply.model, **{name: tokens for name, tokens in counted.items() if tokens}}


def _server(base_url: str) -> dict[str, Any]:
    """Where a model is that is not at its provider's own address."""
    parts = urlsplit(base_url)
    if not parts.hostname:
        return {}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname, "server.port": port}
