"""What clients send, and what its answers mean. Pure.

Every content names its tenant, session and turn, so that a byte at the wrong place is seen. Bodies are hashed here anew
(canonical JSON of the fields as sent, without `turn_id`), not with the library under test.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from faults.client import Request
from faults.client_http import Answer
from faults.record import REJECTED, STORED, WRONG, Call, Placed, Sent

SAID = (
    "flight friday lisbon hotel window seat budget visa train museum rain tickets dinner allergy peanuts vegetarian "
    "meeting invoice deadline contract signature garden keys passport doctor appointment birthday cake winter summer"
)
WORDS = SAID.split()
LOGS_OWN = ("version", "turn_id", "log", "position", "recorded_at", "tokens")


class Turn(NamedTuple):
    """A turn to be sent: its fields without the id, and what is recorded of it."""

    fields: Mapping[str, Any]
    sent: Sent


def digest(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the fields as canonical JSON (texts and integers only: sorted keys without blanks)."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def make_turn(rng: random.Random, tenant: str, session: str, turn_id: str, role: str = "user") -> Turn:
    """A turn whose content says whose it is."""
    said = " ".join(rng.choices(WORDS, k=rng.randint(5, 60)))
    fields = {"role": role, "content": f"[{tenant}/{session}/{turn_id}] {said}.", "agent_id": f"{tenant}.agent"}
    return Turn(fields, Sent(session, turn_id, digest(fields)))


def single(turn: Turn, kind: str = "single") -> Request:
    """POST one turn."""
    body = orjson.dumps({**turn.fields, "turn_id": turn.sent.turn_id})
    return _post(kind, turn.sent.session, body, (turn.sent,), turn.sent.turn_id)


def many(turns: Sequence[Turn]) -> Request:
    """POST several turns, all or nothing."""
    body = orjson.dumps({"turns": [{**turn.fields, "turn_id": turn.sent.turn_id} for turn in turns]})
    sent = tuple(turn.sent for turn in turns)
    return _post("many", sent[0].session, body, sent, sent[0].turn_id)


def keyed(turn: Turn) -> Request:
    """POST one turn whose id is the Idempotency-Key."""
    headers = {"idempotency-key": turn.sent.turn_id}
    return _post("keyed", turn.sent.session, orjson.dumps(turn.fields), (turn.sent,), turn.sent.turn_id, headers)


def matching(turn: Turn, version: int) -> Request:
    """POST one turn to a session that must be at a version."""
    body = orjson.dumps({**turn.fields, "turn_id": turn.sent.turn_id})
    return _post("if-match", turn.sent.session, body, (turn.sent,), turn.sent.turn_id, {"if-match": f'"v{version}"'})


def bulk(turns: Sequence[Turn], name: str) -> Request:
    """POST turns of several sessions as NDJSON."""
    lines = [{**turn.fields, "session_id": turn.sent.session, "turn_id": turn.sent.turn_id} for turn in turns]
    body = b"\n".join(map(orjson.dumps, lines))
    sent = tuple(turn.sent for turn in turns)
    return Request("bulk", sent[0].session, "POST", "/v1/turns", name, bulk_answer, body, sent=sent, whole=False)


def retraction(session: str, start: int, end: int, name: str) -> Request:
    """DELETE a range of turns."""
    target = f"/v1/sessions/{session}/turns?from_version={start}&to_version={end}"
    sent = (Sent(session, f"retract/{name}", ""),)
    return Request(
        "retract", session, "DELETE", target, name, done_answer, headers={"idempotency-key": name}, sent=sent
    )


def compression(session: str, name: str) -> Request:
    """Ask for a compression."""
    target = f"/v1/sessions/{session}/compress"
    sent = (Sent(session, f"task/{name}/requested", ""),)
    return Request("compress", session, "POST", target, name, done_answer, headers={"idempotency-key": name}, sent=sent)


def _post(
    kind: str, session: str, body: bytes, sent: tuple[Sent, ...], name: str, headers: Mapping[str, str] | None = None
) -> Request:
    target = f"/v1/sessions/{session}/turns"
    return Request(kind, session, "POST", target, name, turns_answer, body, headers or {}, sent)


def turns_answer(call: Call, answer: Answer) -> Call:
    """Where the turns of a POST were placed. 412 is a decision only where a version was expected."""
    if answer.status == 412 and call.kind == "if-match":
        return replace(call, outcome=REJECTED)
    if answer.status != 201:
        return replace(call, outcome=WRONG)
    data = orjson.loads(answer.body)
    placed = tuple(_placed(call.session, turn) for turn in data.get("turns", [data]))
    same = [p.turn_id for p in placed] == [sent.turn_id for sent in call.sent]
    return replace(call, outcome=STORED if same else WRONG, placed=placed)


def bulk_answer(call: Call, answer: Answer) -> Call:
    """Where the lines of a load were placed; the load as a whole is stored, unknown or refused."""
    if answer.status != 200:
        return replace(call, outcome=WRONG)
    lines = [orjson.loads(line) for line in answer.body.splitlines()]
    placed = tuple(
        _placed(sent.session, {**line, "duplicate": line["status"] == "duplicate"})
        for sent, line in zip(call.sent, lines, strict=True)
        if line["status"] in ("stored", "duplicate")
    )
    codes = {line["error"]["code"] for line in lines if "error" in line}
    if any(line["status"] == "refused" for line in lines):
        return replace(call, outcome=WRONG, placed=placed, code=",".join(sorted(codes)))
    outcome = "unknown" if "outcome_unknown" in codes else "refused" if codes else STORED
    return replace(call, outcome=outcome, placed=placed, code=",".join(sorted(codes)))


def done_answer(call: Call, answer: Answer) -> Call:
    """Where a retraction or a request for compression was placed."""
    if answer.status not in (200, 202):
        return replace(call, outcome=WRONG)
    data = orjson.loads(answer.body)
    event = Placed(call.session, call.sent[0].turn_id, data["log"], data["position"], 0, data.get("duplicate", True))
    return replace(call, outcome=STORED, placed=(event,))


def _placed(session: str, turn: Mapping[str, Any]) -> Placed:
    return Placed(session, turn["turn_id"], turn["log"], turn["position"], turn["version"], turn["duplicate"])


def shown_digest(turn: Mapping[str, Any]) -> str:
    """The digest of a turn as a reader was shown it."""
    return digest({name: value for name, value in turn.items() if name not in LOGS_OWN})
