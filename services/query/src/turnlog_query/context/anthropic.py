"""The context as Anthropic's messages: `system` apart, roles in turn, tools as content blocks, a user
first."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from turnlog_events.tokens import TOKENS_PER_MESSAGE, count_tokens
from turnlog_query.context.openai import UNCALLED
from turnlog_query.context.price import message_tokens
from turnlog_query.context.said import TEXT_KINDS, Call, Content, Said, plain_text
from turnlog_query.context.summary_label import LabelledSummary

Block = dict[str, Any]

OPENING = "(The conversation begins with the assistant.)"
OPENING_AFTER_GAP = "(Earlier turns are left out.)"
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.*)", re.DOTALL)
_KNOWN_BLOCKS = frozenset({"image", "document", "search_result"})


def render(summary: LabelledSummary | None, items: Sequence[Said], gap: bool) -> dict[str, Any]:
    """`{"system": text, "messages": […]}`. Turns of role `system` are joined into `system`, in order;
    neighbours of one role become one message of several blocks; when the first message is not a user's, a
    short one precedes it."""
    system = "\n\n".join(text for s in items if s.role == "system" and (text := plain_text(s.content)))
    runs: list[tuple[str, list[Block]]] = []
    if summary:
        runs.append(("user", [_text(summary.labelled())]))
    for said in items:
        blocks = _blocks(said) if said.role != "system" else []
        role = "assistant" if said.role == "assistant" else "user"
        if blocks and runs and runs[-1][0] == role:
            runs[-1][1].extend(blocks)
        elif blocks:
            runs.append((role, blocks))
    if runs and runs[0][0] != "user":
        runs.insert(0, ("user", [_text(OPENING_AFTER_GAP if gap else OPENING)]))
    return {
        "system": system,
        "messages": [{"role": role, "content": _content(blocks)} for role, blocks in runs],
    }


def tokens(fields: Mapping[str, Any]) -> int:
    """Tokens of the system text and all messages."""
    system = fields["system"]
    head = count_tokens(system) + TOKENS_PER_MESSAGE if system else 0
    return head + sum(map(message_tokens, fields["messages"]))


def price(said: Said) -> int:
    """Tokens of one message alone; joined with its neighbours it may differ by a few."""
    blocks = [_text(plain_text(said.content))] if said.role == "system" else _blocks(said)
    return message_tokens({"content": _content(blocks)}) if blocks else 0


def _content(blocks: list[Block]) -> Content:
    only = blocks[0] if len(blocks) == 1 else {}
    return str(only["text"]) if only.keys() == {"type", "text"} else blocks


def _blocks(said: Said) -> list[Block]:
    if said.answers is not None:
        return [
            {
                "type": "tool_result",
                "tool_use_id": _block_id(said.answers),
                "content": _converted(said.content),
            }
        ]
    content = _converted(said.content)
    blocks = [_text(content)] if isinstance(content, str) and content else []
    if isinstance(content, list):
        blocks = content
    if said.role == "tool" and blocks:
        blocks = [_text(UNCALLED), *blocks]
    return [*blocks, *map(_tool_use, said.calls)]


def _converted(content: Content) -> Content:
    return content if isinstance(content, str) else [b for block in content if (b := _block(block))]


def _block(block: Block) -> Block | None:
    """A stored block as one of Anthropic's; one that it does not know becomes text. None for empty text."""
    kind = block.get("type")
    if kind in TEXT_KINDS and isinstance(block.get("text"), str):
        return _text(block["text"]) if block["text"] else None
    if kind == "image_url" and (source := _image_source(block.get("image_url"))):
        return {"type": "image", "source": source}
    return block if kind in _KNOWN_BLOCKS else _text(orjson.dumps(block).decode())


def _image_source(image: Any) -> Block | None:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        return None
    if data := _DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": data[1], "data": data[2]}
    return {"type": "url", "url": url}


def _tool_use(call: Call) -> Block:
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        arguments = call.arguments
    given = arguments if isinstance(arguments, dict) else {"arguments": arguments}
    return {"type": "tool_use", "id": _block_id(call.id), "name": call.name, "input": given}


def _block_id(call_id: str) -> str:
    return _NOT_IN_IDS.sub("_", call_id)


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
