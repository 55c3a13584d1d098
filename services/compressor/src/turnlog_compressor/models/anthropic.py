"""Anthropic's messages API."""

import asyncio

import anthropic

from turnlog_compressor.models.port import ModelError, Reply
from turnlog_compressor.models.wire import Gathered, bounded_client, count_of, model_error
from turnlog_compressor.prompt import Prompt

ANTHROPIC_URL = "https://api.anthropic.com"


class Anthropic:
    """A model by name."""

    provider = "anthropic"

    def __init__(self, name: str, *, api_key: str, base_url: str = ANTHROPIC_URL) -> None:
        self.name = name
        self._base_url = base_url
        self._api_key = api_key
        self._client: anthropic.AsyncAnthropic | None = None

    async def complete(self, prompt: Prompt, *, max_tokens: int, deadline_s: float) -> Reply:
        """See `Model.complete`."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._read(prompt, max_tokens, deadline_s)
        except Exception as error:
            raise model_error(error, anthropic) from None

    async def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _read(self, prompt: Prompt, max_tokens: int, deadline_s: float) -> Reply:
        stream = await self._connected(deadline_s).messages.create(
            model=self.name,
            system=prompt.system,
            messages=[{"role": "user", "content": prompt.user}],
            max_tokens=max_tokens,
            stream=True,
        )
        gathered, end, whole, model, tokens_in, tokens_out = Gathered(), None, False, self.name, 0, 0
        async with stream:
            async for event in stream:
                if event.type == "message_start":
                    model = event.message.model or model
                    tokens_in = count_of(event.message.usage.input_tokens)
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    gathered.add(event.delta.text)
                elif event.type == "message_delta":
                    end = event.delta.stop_reason
                    tokens_out = count_of(event.usage.output_tokens)
                elif event.type == "message_stop":
                    whole = True
        if end == "max_tokens":
            raise ModelError("truncated")
        if not whole or end not in ("end_turn", "stop_sequence"):  # the stream broke off, or the model declined
            raise ModelError("garbage")
        return Reply(gathered.text, tokens_in, tokens_out, str(model)[:200])

    def _connected(self, deadline_s: float) -> anthropic.AsyncAnthropic:
        if self._client is None:
            self._client = anthropic.AsyncAnthropic(
                api_key=self._api_key,
                base_url=self._base_url,
                max_retries=0,
                timeout=deadline_s,
                http_client=bounded_client(deadline_s),
                open_telemetry=False,
            )
        return self._client
