"""Effects and session states as the arguments and replies of the Redis functions (`lua/*.lua`). Pure.

Enters: effects and `SessionState` of `turnlog_events`. Leaves: flat argument lists, and states read back.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from turnlog_events.effects import AddTurn, Effect, HideTurns
from turnlog_events.fold import SessionState, SummaryNode
from turnlog_events.turn_view import version_of

HEAD_FIELDS = 12
"""As many as FIELDS in `lua/session.lua`: i v r p k f l a u h n c."""

Argument = str | bytes | int


def effect_arguments(position: int, effect: Effect) -> tuple[Argument, ...]:
    """One effect as `apply` takes it; nothing for an event without an effect."""
    if effect is None:
        return ()
    if isinstance(effect, AddTurn):
        return (
            "T",
            position,
            effect.version,
            effect.tokens,
            effect.recorded_at_us,
            effect.agent_id or "",
            effect.user_id or "",
            effect.view,
        )
    if isinstance(effect, HideTurns):
        return ("H", position, effect.from_version, effect.to_version)
    return (
        "S",
        position,
        effect.from_version,
        effect.to_version,
        effect.level,
        effect.revision,
        effect.body,
    )


def head_arguments(identity: str, state: SessionState) -> tuple[Argument, ...]:
    """The head of a state in the order of FIELDS."""
    return (
        identity,
        state.version,
        state.revision,
        state.position,
        state.tokens,
        state.first_us,
        state.last_us,
        ",".join(state.agents),
        ",".join(state.users),
        ",".join(f"{start}-{end}" for start, end in state.hidden),
        ",".join(f"{n.from_version}-{n.to_version}-{n.level}-{n.revision}" for n in state.nodes),
        len(state.turns),
    )


def load_arguments(identity: str, state: SessionState) -> list[Argument]:
    """A whole state as `load` takes it."""
    out: list[Argument] = [*head_arguments(identity, state), len(state.turns)]
    out += (view for _, view in state.turns)
    for node in state.nodes:
        out += (node.from_version, node.body)
    return out


def parse_state(
    head: Sequence[bytes], turns: Sequence[bytes], nodes: Sequence[bytes], *, head_only: bool = False
) -> SessionState:
    """A state from what `session` and `dump` answer: the head in the order of FIELDS, the turns, the summaries as
    from_version and body in turn. `head_only` leaves turns and summaries out. Raises ValueError or KeyError when
    the parts do not fit."""
    _, version, revision, position, tokens, first, last, agents, users, hidden, index, _ = head
    bodies = dict(zip(map(int, nodes[::2]), nodes[1::2], strict=True))
    return SessionState(
        version=int(version),
        revision=int(revision),
        position=int(position),
        tokens=int(tokens),
        first_us=int(first),
        last_us=int(last),
        agents=_members(agents),
        users=_members(users),
        turns=tuple((version_of(view), view) for view in turns),
        nodes=() if head_only else tuple(_node(numbers, bodies) for numbers in parse_ranges(index)),
        hidden=tuple((start, end) for start, end in parse_ranges(hidden)),
    )


def parse_ranges(items: bytes) -> Iterable[tuple[int, ...]]:
    """Ranges "from-to" or "from-to-level-revision" by comma."""
    return (tuple(map(int, item.split(b"-"))) for item in items.split(b",") if item)


def _node(numbers: tuple[int, ...], bodies: Mapping[int, bytes]) -> SummaryNode:
    start, end, level, revision = numbers
    return SummaryNode(start, end, level, revision, bodies[start])


def _members(items: bytes) -> tuple[str, ...]:
    return tuple(items.decode().split(",")) if items else ()


def state_digest(identity: str, state: SessionState) -> bytes:
    """SHA-256 over every byte of a session's read model: equal digests, equal models. 32 bytes."""
    digest = sha256()
    parts: list[Any] = [*head_arguments(identity, state)]
    parts += (view for _, view in state.turns)
    parts += (node.body for node in state.nodes)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()
