"""A model of the OpenAI Agents SDK that answers from a script, and keeps what it was given."""

import copy
from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage
from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response_reasoning_item import Summary


def says(text: str) -> list[TResponseOutputItem]:
    """A message."""
    part = ResponseOutputText(type="output_text", text=text, annotations=[])
    return [ResponseOutputMessage(id="msg_1", type="message", role="assistant", status="completed", content=[part])]


def calls(name: str, arguments: str, call_id: str = "call_1") -> list[TResponseOutputItem]:
    """A thought, and a call of a tool."""
    thought = ResponseReasoningItem(
        id="rs_1",
        type="reasoning",
        summary=[Summary(type="summary_text", text="A tool knows.")],
        encrypted_content="e" * 20_000,
    )
    return [
        thought,
        ResponseFunctionToolCall(id="fc_1", type="function_call", call_id=call_id, name=name, arguments=arguments),
    ]


class ScriptedModel(Model):
    """Gives the next output of its script; `given` are the inputs it got."""

    def __init__(self, *script: list[TResponseOutputItem]) -> None:
        self.script = list(script)
        self.given: list[list[Any]] = []

    def _next(self, given: "str | list[TResponseInputItem]") -> list[TResponseOutputItem]:
        self.given.append([given] if isinstance(given, str) else copy.deepcopy(list(given)))
        return self.script.pop(0)

    async def get_response(
        self, system_instructions: str | None, input: "str | list[TResponseInputItem]", *args: Any, **kwargs: Any
    ) -> ModelResponse:
        return ModelResponse(output=self._next(input), usage=Usage(), response_id=None)

    async def stream_response(  # type: ignore[override]
        self, system_instructions: str | None, input: "str | list[TResponseInputItem]", *args: Any, **kwargs: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        response = Response(
            id="resp_1", created_at=0, model="scripted", object="response", output=self._next(input),
            parallel_tool_calls=False, tool_choice="none", tools=[],
        )  # fmt: skip
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)
