"""Items of the OpenAI Agents SDK as turns, and back. Pure: JSON in, JSON out.

A turn shows what was said (`role`, `content`, tool calls as everywhere in Turnlog), so that contexts and summaries
work; what of the item is not in there stands beside it, in `metadata.openai_agents`:

    nothing                     the turn alone says it: {"role", "content"}, a tool's call or its result
    {"item": …}                 the item; with "holes" its texts are None and stand in the turn
    {"json": "…"}               likewise as JSON text: what canonical JSON would change or refuse
    {"pieces": n}               likewise, packed, in the metadata of the n turns before, which show nothing
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnlog_client.frameworks.items import facts_of
from turnlog_client.frameworks.packing import comes_back, is_storable_text, json_text, packed, pieces, size_of, unpacked
from turnlog_client.frameworks.shown import BLANK, clean
from turnlog_client.turns import turn

Item = dict[str, Any]
KEY = "openai_agents"
METADATA_BYTES = 15_000
"""Room in the 16 KiB of a turn's metadata; more is packed into pieces."""
SHOWN_BYTES = 160_000
"""Room in the 256 KiB of a turn, when every character is escaped."""
PARTS_MAX = 1_000
_ROLES = ("user", "assistant", "system", "tool")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_TEXTS = ("content", "output")


@dataclass(frozen=True)
class Entry:
    """The items of a turn, and the versions it takes with its pieces. One turn has one item, if it came from here."""

    items: list[Item]
    from_version: int
    to_version: int


def turns_of(item: Mapping[str, Any], **members: Any) -> list[dict[str, Any]]:
    """The turns of an item: its own, after its pieces. `members` are `agent_id` and `user_id`.

    Raises TypeError or ValueError for what is not JSON.
    """
    plain: Item = dict(item)
    json.dumps(plain, allow_nan=False)
    shown, rest = _shown(plain)
    if comes_back(plain) and _same(_said_by(shown), [plain]):
        return [turn(**shown, **members)]
    holes: dict[str, Any] = {"holes": True} if rest is not None else {}
    kept: dict[str, Any] = plain if rest is None else rest
    if comes_back(kept) and size_of(kept) <= METADATA_BYTES:
        return [turn(**shown, metadata={KEY: {"item": kept, **holes}}, **members)]
    text = json_text(kept)
    if size_of(text) <= METADATA_BYTES:
        return [turn(**shown, metadata={KEY: {"json": text, **holes}}, **members)]
    cut = pieces(packed(text.encode()), METADATA_BYTES)
    before = [turn(shown["role"], BLANK, metadata={KEY: {"piece": piece}}, **members) for piece in cut]
    return [*before, turn(**shown, metadata={KEY: {"pieces": len(cut), **holes}}, **members)]


def entries_of(turns: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The entries of adjacent turns, oldest first. One whose pieces are not all there is left out."""
    found: list[Entry] = []
    before: list[tuple[int, str]] = []
    for each in turns:
        version, kept = each["version"], facts_of(KEY, each)
        if "piece" in kept:
            before.append((version, kept["piece"]))
            continue
        count = kept.get("pieces", 0)
        mine, before = before[len(before) - count :] if count else [], []
        if [number for number, _ in mine] != list(range(version - count, version)):
            continue
        items = [_filled(kept, "".join(piece for _, piece in mine), each)] if kept else _said_by(each)
        found.append(Entry(items, version - count, version))
    return found


def _filled(kept: Mapping[str, Any], packed_text: str, each: Mapping[str, Any]) -> Item:
    """The item of a turn, its texts put back."""
    if "item" in kept:
        item: Item = copy.deepcopy(kept["item"])
    else:
        item = json.loads(kept["json"] if "json" in kept else unpacked(packed_text))
    if kept.get("holes"):
        if each.get("tool_calls"):
            texts = [each["tool_calls"][0]["function"]["arguments"]]
        else:
            content = each["content"]
            texts = [content] if isinstance(content, str) else [part["text"] for part in content]
        for (place, name), text in zip(_places(item), texts, strict=True):
            place[name] = text
    return item


def _shown(item: Item) -> tuple[dict[str, Any], Item | None]:
    """What the turn of an item shows, and the item without the texts that are shown whole; None when none is."""
    role, beside = _role(item), _beside(item)
    texts = [place[name] for place, name in _places(item)]
    whole = (
        0 < len(texts) <= PARTS_MAX
        and all(isinstance(text, str) and is_storable_text(text) for text in texts)
        and sum(map(size_of, texts)) <= SHOWN_BYTES
    )
    if not whole:
        return {"role": role, "content": _glance(item), **beside}, None
    rest = copy.deepcopy(item)
    for place, name in _places(rest):
        place[name] = None
    if "tool_calls" in beside:
        return {"role": role, "content": "", **beside}, rest
    content = texts[0] if len(texts) == 1 and texts[0] else [{"type": "text", "text": text} for text in texts]
    return {"role": role, "content": content, **beside}, rest


def _role(item: Item) -> str:
    role = item.get("role")
    if role in _ROLES:
        return str(role)
    if role is not None:
        return "system" if role == "developer" else "user"
    return "tool" if str(item.get("type", "")).endswith("_output") else "assistant"


def _beside(item: Item) -> dict[str, Any]:
    """The fields of a tool's call or its result."""
    kind, call_id = str(item.get("type", "")), item.get("call_id")
    if not (isinstance(call_id, str) and 0 < len(call_id) <= 200 and is_storable_text(call_id)):
        return {}
    if kind.endswith("_output"):
        return {"tool_call_id": call_id}
    name, arguments = item.get("name"), item.get(_CALLS.get(kind, ""))
    if not (isinstance(name, str) and isinstance(arguments, str) and is_storable_text(name + arguments)):
        return {}
    if size_of(arguments) > SHOWN_BYTES:
        return {}
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _places(item: Item) -> list[tuple[dict[str, Any], str]]:
    """Where the texts of an item stand, in order; a hole (None) counts."""
    kind = str(item.get("type", ""))
    if kind in _CALLS:
        return [(item, _CALLS[kind])] if _is_text(item.get(_CALLS[kind], 0)) else []
    if kind == "reasoning":
        return []  # it was thought, not said: the turn shows its summary
    found: list[tuple[dict[str, Any], str]] = []
    for name in _TEXTS:
        value = item.get(name, 0)
        if _is_text(value):
            found.append((item, name))
        elif isinstance(value, list):
            found += [(part, "text") for part in value if isinstance(part, dict) and _is_text(part.get("text", 0))]
    return found


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _glance(item: Item) -> str:
    """A line for an item whose texts cannot be shown as they are: its kind, and the beginning of what it says."""
    said = " ".join(_texts_in(item)).strip()
    return clean(f"[{item.get('type') or item.get('role') or 'item'}] {said[:1_000]}".strip())


def _texts_in(item: Item) -> Iterator[str]:
    for name in _TEXTS:
        if isinstance(item.get(name), str):
            yield item[name]
    for part in [*_list(item.get("summary")), *_list(item.get("content"))]:
        for name in ("text", "refusal"):
            if isinstance(part, dict) and isinstance(part.get(name), str):
                yield part[name]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _said_by(each: Mapping[str, Any]) -> list[Item]:
    """The items that a turn says by itself, whoever stored it."""
    role, content = each["role"], each["content"]
    if isinstance(content, list):
        content = "\n".join(
            part["text"] if isinstance(part.get("text"), str) else f"[{part['type']}]" for part in content
        )
    if role == "tool":
        if not each.get("tool_call_id"):
            return [{"role": "user", "content": content}]
        return [{"type": "function_call_output", "call_id": each["tool_call_id"], "output": content}]
    said: list[Item] = [{"role": role, "content": content}] if content or not each.get("tool_calls") else []
    for call in each.get("tool_calls") or ():
        function = call.get("function") or {}
        called = {
            "call_id": call.get("id", ""),
            "name": function.get("name", ""),
            "arguments": function.get("arguments", "{}"),
        }
        said.append({"type": "function_call", **called})
    return said


def _same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
