"""The port to a model: one call, one whole reply or a `ModelError` that says whether to try again."""

from dataclasses import dataclass
from typing import Literal, Protocol

from turnlog_compressor.prompt import Prompt

Kind = Literal[
    "timeout",
    "connection",
    "rate_limited",
    "server_error",
    "unauthorized",
    "not_found",
    "bad_request",
    "too_long",
    "truncated",
    "garbage",
    "unexpected",
    "breaker_open",
    "budget",
]

RETRYABLE: frozenset[Kind] = frozenset({"timeout", "connection", "rate_limited", "server_error", "garbage"})
"""What may be better the next time; the rest fails the same way again, or would only cost more."""

BLAMELESS: frozenset[Kind] = frozenset({"bad_request", "truncated", "breaker_open", "budget"})
"""What says something about the request or about us, not about the model's health: the breaker does not count it."""


class ModelError(Exception):
    """A call that gave no summary. Its text holds the kind and no more: what a server answers may repeat the prompt.

    `retry_after_s` is what the server asked us to wait, in seconds.
    """

    def __init__(self, kind: Kind, retry_after_s: float | None = None) -> None:
        super().__init__(kind)
        self.kind: Kind = kind
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether another try may succeed."""
        return self.kind in RETRYABLE


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. `model` is the name the server gave; tokens are the server's figures, or 0 where it has
    none."""

    text: str
    tokens_in: int
    tokens_out: int
    model: str


class Model(Protocol):
    """A model behind an API."""

    @property
    def provider(self) -> str:
        """A short name for metrics: `openai` or `anthropic`."""

    @property
    def name(self) -> str:
        """The model asked for."""

    async def complete(self, prompt: Prompt, *, max_tokens: int, deadline_s: float) -> Reply:
        """The whole answer within `deadline_s` seconds, or `ModelError`. One try."""

    async def close(self) -> None:
        """Close connections."""
