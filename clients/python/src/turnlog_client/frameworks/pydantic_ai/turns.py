"""Conversation entries and records → turns, and the turns of a session → what the store holds. Pure.

metadata.pydantic_ai = {"item": the message, "entry": its id, "parent": the id of the entry before it,
                        "record": the conversation's record as JSON text, at the last turn of each save,
                        "deleted": true at the turn that ends a conversation}
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

from turnlog_client import new_turn_id, turn
from turnlog_client.frameworks.items import facts_of, item_of, with_item
from turnlog_client.frameworks.names import id_of
from turnlog_client.frameworks.pydantic_ai.messages import again, message_json, message_of, shown
from turnlog_client.frameworks.shown import BLANK

FRAMEWORK = "pydantic_ai"
RECORD_BESIDE_MAX_CHARS = 4_000
"""A longer record is stored in a turn of its own."""


@dataclass
class Held:
    """What a session holds: the turn of each entry by its id, in order, and the record, None where the conversation
    does not exist (any more)."""

    version: int
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    record: ConversationRecord | None = None

    def line(self, head_id: str) -> list[ConversationEntry]:
        """The history that ends at an entry, oldest first. Raises LookupError when there is no such entry.

        Where an entry's parent was retracted, the entry stored before it takes its place.
        """
        if head_id not in self.entries:
            raise LookupError(f"entry {head_id} is not stored, or its turn was retracted")
        order = list(self.entries)
        place = {entry_id: index for index, entry_id in enumerate(order)}
        found: list[ConversationEntry] = []
        at: str | None = head_id
        while at is not None:
            entry = entry_of(self.entries[at])
            found.append(entry)
            parent = entry.parent_id
            if parent is not None and (parent not in place or place[parent] >= place[at]):
                parent = order[place[at] - 1] if place[at] else None
            at = parent
        return found[::-1]


def held(version: int, turns: Sequence[Mapping[str, Any]]) -> Held:
    """What the turns of a session hold, in order; turns of others are passed over."""
    found = Held(version)
    for stored in turns:
        facts = facts_of(FRAMEWORK, stored)
        if "entry" in facts:
            found.entries[facts["entry"]] = stored
        if "record" in facts:
            found.record = _record_of(json.loads(facts["record"]))
        elif facts.get("holds") == "record":
            found.record = _record_of(item_of(FRAMEWORK, stored))
        elif facts.get("deleted"):
            found = Held(version)
    return found


def entry_of(stored: Mapping[str, Any]) -> ConversationEntry:
    """The entry that a turn holds."""
    facts = facts_of(FRAMEWORK, stored)
    return ConversationEntry(
        id=facts["entry"], parent_id=facts["parent"], message=message_of(item_of(FRAMEWORK, stored))
    )


def turns_of(
    record: ConversationRecord, copied: Sequence[ConversationEntry], new: Sequence[ConversationEntry], agent_id: str
) -> list[dict[str, Any]]:
    """The turns of one save: entries copied from another conversation, new entries, and the record at the last.

    A new entry's id is its turn's id, so that a repeated save stores nothing twice.
    """
    owner = None if record.scope is None else id_of(record.scope, "scope")
    whole = json.dumps(_record_json(record))
    entries = [*((entry, new_turn_id()) for entry in copied), *((entry, entry.id) for entry in new)]
    beside = bool(entries) and len(whole) <= RECORD_BESIDE_MAX_CHARS
    made: list[dict[str, Any]] = []
    for index, (entry, turn_id) in enumerate(entries):
        facts = {"entry": entry.id, "parent": entry.parent_id}
        if beside and index == len(entries) - 1:
            facts["record"] = whole
        fields = shown(entry.message).fields()
        bare = turn(**fields, agent_id=agent_id, user_id=owner, turn_id=turn_id)
        made.append(with_item(FRAMEWORK, bare, message_json(entry.message), facts, again))
    if not beside:
        bare = turn("system", BLANK, agent_id=agent_id, user_id=owner)
        made.append(with_item(FRAMEWORK, bare, json.loads(whole), {"holds": "record"}))
    return made


def ending(agent_id: str) -> dict[str, Any]:
    """The turn that ends a conversation: nothing before it counts any more."""
    return {**turn("system", BLANK, agent_id=agent_id), "metadata": {FRAMEWORK: {"deleted": True}}}


def _record_json(record: ConversationRecord) -> dict[str, Any]:
    carried = Conversation(
        usage=record.usage,
        conversation_id=record.conversation_id,
        deferred_tool_requests=record.deferred_tool_requests,
        revision=record.revision,
    )
    return {
        "carried": ConversationTypeAdapter.dump_python(carried, mode="json", exclude={"messages"}),
        "head_id": record.head_id,
        "scope": record.scope,
        "forked_from": record.forked_from,
        "forked_at": record.forked_at,
        "branches": list(record.branches),
        "updated_at": record.updated_at.isoformat(),
    }


def _record_of(stored: Mapping[str, Any]) -> ConversationRecord:
    carried = ConversationTypeAdapter.validate_json(json.dumps(stored["carried"]))
    return ConversationRecord(
        conversation_id=carried.conversation_id,
        head_id=stored["head_id"],
        usage=carried.usage,
        deferred_tool_requests=carried.deferred_tool_requests,
        scope=stored["scope"],
        forked_from=stored["forked_from"],
        forked_at=stored["forked_at"],
        branches=list(stored["branches"]),
        revision=str(carried.revision),
        updated_at=datetime.fromisoformat(stored["updated_at"]),
    )


def tips(record: ConversationRecord) -> Iterator[str]:
    """The entries that a record's histories end at."""
    yield from (entry_id for entry_id in [record.head_id, *record.branches] if entry_id is not None)
