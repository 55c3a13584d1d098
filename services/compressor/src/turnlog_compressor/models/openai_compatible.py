"""Any server that speaks OpenAI's chat completions, by its base URL."""

import asyncio
from typing import Any, Literal

import openai

from turnlog_compressor.models.port import ModelError, Reply
from turnlog_compressor.models.wire import Gathered, bounded_client, count_of, model_error
from turnlog_compressor.prompt import Prompt

LimitField = Literal["max_tokens", "max_completion_tokens"]
OPENAI_URL = "https://api.openai.com/v1"


class OpenAICompatible:
    """A model by name. `limit_field` is how the server wants the answer's limit named: OpenAI's newer models refuse
    the old name, most other servers know no other, so by default it follows from the URL."""

    provider = "openai"

    def __init__(
        self, name: str, *, base_url: str = OPENAI_URL, api_key: str = "", limit_field: LimitField | None = None
    ) -> None:
        self.name = name
        self._base_url = base_url
        self._api_key = api_key
        own = base_url.startswith("https://api.openai.com/")
        self._limit_field: LimitField = limit_field or ("max_completion_tokens" if own else "max_tokens")
        self._client: openai.AsyncOpenAI | None = None

    async def complete(self, prompt: Prompt, *, max_tokens: int, deadline_s: float) -> Reply:
        """See `Model.complete`."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._read(prompt, max_tokens, deadline_s)
        except Exception as error:
            raise model_error(error, openai) from None

    async def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _read(self, prompt: Prompt, max_tokens: int, deadline_s: float) -> Reply:
        limit: dict[str, Any] = {self._limit_field: max_tokens}
        stream = await self._connected(deadline_s).chat.completions.create(
            model=self.name,
            messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            stream=True,
            stream_options={"include_usage": True},
            **limit,
        )
        gathered, end, model, tokens_in, tokens_out = Gathered(), None, self.name, 0, 0
        async with stream:
            async for chunk in stream:
                model = chunk.model or model
                if chunk.usage:
                    tokens_in, tokens_out = count_of(chunk.usage.prompt_tokens), count_of(chunk.usage.completion_tokens)
                for choice in (chunk.choices or ())[:1]:
                    gathered.add(choice.delta.content if choice.delta else None)
                    end = choice.finish_reason or end
        if end == "length":
            raise ModelError("truncated")
        if end != "stop":  # the stream broke off, or the answer was withheld
            raise ModelError("garbage")
        return Reply(gathered.text, tokens_in, tokens_out, str(model)[:200])

    def _connected(self, deadline_s: float) -> openai.AsyncOpenAI:
        if self._client is None:
            self._client = openai.AsyncOpenAI(
                api_key=self._api_key or "none",  # local servers ask for none, the SDK insists on one
                base_url=self._base_url,
                max_retries=0,
                timeout=deadline_s,
                http_client=bounded_client(deadline_s),
            )
        return self._client
