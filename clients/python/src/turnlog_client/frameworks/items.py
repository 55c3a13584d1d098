"""A framework's own object beside what is shown of it, in one turn, and back. Pure; for what fits into one turn.

The object stands under `metadata.<framework>`, or, where metadata has no room, in a content part of type
`<framework>.item`:

    {"item": …}              the object itself, or
    {"json": "…"}            its JSON text, where the API's JSON would not give it back unchanged: an order of keys that
                             matters, 1.0, integers beyond 2^53, NUL characters, lone surrogates,
                             nesting deeper than 100
    {"packed": "…"}          its JSON text, packed, where it does not fit into metadata otherwise
    "refers": true           texts that the content shows already stand as {"$content": 0}: the first of them

Whatever else an adapter notes for itself (`facts`) stands beside them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from turnlog_client.errors import TurnlogError
from turnlog_client.frameworks.packing import comes_back, json_text, packed, size_of, unpacked

TURN_MAX_BYTES = 256 * 1024
METADATA_MAX_BYTES = 16 * 1024
REFERRED_MIN_CHARS = 64
"""Shorter texts are kept in the object too: it stays readable, and a reference would save nothing."""
_REFERENCE = "$content"


class TurnTooLarge(TurnlogError):
    """An object that does not fit into one turn."""


def with_item(
    framework: str,
    turn: Mapping[str, Any],
    item: Any,
    facts: Mapping[str, Any] | None = None,
    again: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """The turn with a JSON object beside its content. Raises `TurnTooLarge`.

    The API's JSON sorts keys. `again` makes the framework's own object of a JSON object and writes it anew: where that
    brings back the order that `item` has, keys may be sorted. Without it their order does not matter.
    """
    shown = {text: place for place, text in reversed(list(enumerate(_texts(framework, turn["content"]))))}
    long = {text: place for text, place in shown.items() if len(text) >= REFERRED_MIN_CHARS}
    short = _referring(item, long) if long and not _holds_reference(item) else item
    ordered = again is None or json.dumps(again(_sorted(item))) == json.dumps(item)
    kept: dict[str, Any] = {"item": short} if ordered and comes_back(short) else {"json": json_text(short)}
    if short != item:
        kept["refers"] = True
    noted = dict(facts or {})
    made = {**turn, "metadata": {framework: {**kept, **noted}}}
    if size_of(made["metadata"]) > METADATA_MAX_BYTES:
        smaller = {name: value for name, value in kept.items() if name == "refers"}
        smaller["packed"] = packed(json_text(short).encode())
        made["metadata"] = {framework: {**smaller, **noted}}
    if size_of(made["metadata"]) > METADATA_MAX_BYTES:
        made["metadata"] = {framework: noted}
        made["content"] = [*_blocks(turn["content"]), {"type": f"{framework}.item", **kept}]
    return fitting(made)


def fitting(turn: dict[str, Any]) -> dict[str, Any]:
    """The turn itself. Raises `TurnTooLarge`, saying what to do, when the API would refuse it for its size."""
    if (size := size_of(turn)) > TURN_MAX_BYTES:
        raise TurnTooLarge(
            f"this takes {size} bytes as a turn, of at most {TURN_MAX_BYTES}: keep large content (files, images, "
            "long tool results) elsewhere and put a reference to it into the conversation"
        )
    return turn


def item_of(framework: str, turn: Mapping[str, Any]) -> Any:
    """The object that `with_item` put beside the turn; None for a turn without one."""
    content = turn["content"]
    parts = [b for b in content if b.get("type") == f"{framework}.item"] if isinstance(content, list) else []
    kept = parts[0] if parts else facts_of(framework, turn)
    if "json" in kept:
        item = json.loads(kept["json"])
    elif "packed" in kept:
        item = json.loads(unpacked(kept["packed"]))
    elif "item" in kept:
        item = kept["item"]
    else:
        return None
    return _resolved(item, list(_texts(framework, content))) if kept.get("refers") else item


def facts_of(framework: str, turn: Mapping[str, Any]) -> dict[str, Any]:
    """What an adapter noted at a turn; empty for a turn of anybody else."""
    found = (turn.get("metadata") or {}).get(framework)
    return found if isinstance(found, dict) else {}


def _sorted(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True))


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def _texts(framework: str, content: Any) -> Iterator[str]:
    """The texts that the content shows, in order: of text blocks and of tools' results."""
    for block in _blocks(content):
        text = block.get("text", block.get("content"))
        if isinstance(text, str) and block.get("type") != f"{framework}.item":
            yield text


def _referring(value: Any, places: Mapping[str, int]) -> Any:
    if isinstance(value, str):
        return {_REFERENCE: places[value]} if value in places else value
    if isinstance(value, dict):
        return {key: _referring(inner, places) for key, inner in value.items()}
    return [_referring(inner, places) for inner in value] if isinstance(value, list) else value


def _resolved(value: Any, texts: list[str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_REFERENCE}:
            return texts[value[_REFERENCE]]
        return {key: _resolved(inner, texts) for key, inner in value.items()}
    return [_resolved(inner, texts) for inner in value] if isinstance(value, list) else value


def _holds_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return _REFERENCE in value or any(map(_holds_reference, value.values()))
    return isinstance(value, list) and any(map(_holds_reference, value))
