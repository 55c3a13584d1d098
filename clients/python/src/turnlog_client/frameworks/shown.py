"""What a person reads of a framework's message → the fields of a turn. Pure.

Tools are written as both chat APIs do: calls as `tool_calls` of the assistant, one result alone as a turn of role
`tool` with its `tool_call_id`, several results (or results beside a text) as `tool_result` blocks.
"""

from dataclasses import dataclass
from typing import Any

PARTS_MAX = 900
CALLS_MAX = 128
NAME_MAX_CHARS = 200
BLANK = [{"type": "text", "text": ""}]
"""The content of a turn that shows nothing: no context and no summary holds it."""


@dataclass(frozen=True)
class ShownCall:
    """A call of a tool; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ShownResult:
    """What a tool answered to the call of that id."""

    call_id: str
    text: str


@dataclass(frozen=True)
class Shown:
    """One message as it is read: who speaks (`user`, `assistant`, `system` or `tool`), and what."""

    role: str
    texts: tuple[str, ...] = ()
    calls: tuple[ShownCall, ...] = ()
    results: tuple[ShownResult, ...] = ()
    name: str | None = None

    def fields(self) -> dict[str, Any]:
        """`role`, `content` and, where there are any, `name`, `tool_calls`, `tool_call_id` of a turn."""
        if len(self.results) == 1 and not self.texts and _is_call_id(self.results[0].call_id):
            answer = self.results[0]
            content = clean(answer.text) or BLANK
            fields: dict[str, Any] = {"role": "tool", "content": content, "tool_call_id": clean(answer.call_id)}
        else:
            role = "tool" if self.results and not self.texts else self.role
            fields = {"role": role, "content": self._content()}
        if self.calls and self.role == "assistant":
            fields["tool_calls"] = [_call(call) for call in self.calls[:CALLS_MAX]]
        elif fields["content"] == "":
            fields["content"] = BLANK
        if self.name and (name := clean(self.name)[:NAME_MAX_CHARS]):
            fields["name"] = name
        return fields

    def _content(self) -> str | list[dict[str, Any]]:
        texts = [clean(text) for text in self.texts if text]
        if not self.results and len(texts) <= 1:
            return texts[0] if texts else ""
        blocks: list[dict[str, Any]] = [_result(result) for result in self.results]
        blocks += [{"type": "text", "text": text} for text in texts]
        if len(blocks) > PARTS_MAX:
            rest = "\n".join(str(block.get("text", block.get("content"))) for block in blocks[PARTS_MAX:])
            blocks = [*blocks[:PARTS_MAX], {"type": "text", "text": rest}]
        return blocks


def clean(text: str) -> str:
    """The text without what the API refuses: NUL characters are shown as ␀, lone surrogates as �."""
    return text.replace("\0", "␀").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _call(call: ShownCall) -> dict[str, Any]:
    function = {"name": clean(call.name), "arguments": clean(call.arguments)}
    return {"id": clean(call.id), "type": "function", "function": function}


def _result(result: ShownResult) -> dict[str, Any]:
    if not _is_call_id(result.call_id):
        return {"type": "text", "text": clean(result.text)}
    return {"type": "tool_result", "tool_use_id": clean(result.call_id), "content": clean(result.text)}


def _is_call_id(call_id: str) -> bool:
    return 0 < len(call_id) <= NAME_MAX_CHARS
