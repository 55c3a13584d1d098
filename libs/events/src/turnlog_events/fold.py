"""The fold: session state + event → session state. Pure; the reference for what Redis must hold.

The state keeps a *window* of recent turns: those of the last `window` versions that are not retracted. It is a
function of the head version and the retractions only, so a state folded from all events and one loaded from the
last `window` turns are the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from turnlog_events.effects import AddSummary, AddTurn, Effect, HideTurns, effect_of
from turnlog_events.errors import Corrupt
from turnlog_events.event import Event

RECENT_TURNS = 200
MEMBERS_MAX = 64
"""How many agents and how many users a session's head names; the first ones stay."""


@dataclass(frozen=True, slots=True)
class SummaryNode:
    """A summary in the read model; `body` is its JSON."""

    from_version: int
    to_version: int
    level: int
    revision: int
    body: bytes

    def overlaps(self, from_version: int, to_version: int) -> bool:
        """Whether it covers any version of from..to."""
        return self.from_version <= to_version and from_version <= self.to_version

    def within(self, from_version: int, to_version: int) -> bool:
        """Whether all it covers lies in from..to."""
        return from_version <= self.from_version and self.to_version <= to_version


@dataclass(frozen=True, slots=True)
class SessionState:
    """All that the read model of one session holds.

    `version` is the head (0: no turn yet), `revision` counts summaries and retractions applied (so `ETag` changes
    with every visible change), `position` is that of the last event with an effect, `tokens` counts all turns ever
    stored. `turns` are (version, JSON bytes) in order; `nodes` are disjoint summaries in order of versions.
    """

    version: int = 0
    revision: int = 0
    position: int = 0
    tokens: int = 0
    first_us: int = 0
    last_us: int = 0
    agents: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    turns: tuple[tuple[int, bytes], ...] = ()
    nodes: tuple[SummaryNode, ...] = ()
    hidden: tuple[tuple[int, int], ...] = ()


def fold(events: Iterable[Event], state: SessionState | None = None, window: int = RECENT_TURNS) -> SessionState:
    """All events of ONE session, in order, applied to `state`. Raises `Corrupt` when a version is missing."""
    state = state or SessionState()
    for event in events:
        state = apply(state, event, window)
    return state


def apply(state: SessionState, event: Event, window: int = RECENT_TURNS) -> SessionState:
    """One event applied. An event at or below the state's position is a repeat and changes nothing."""
    if event.position <= state.position:
        return state
    return apply_effect(state, effect_of(event), event.log, event.position, window)


def apply_effect(
    state: SessionState, effect: Effect, log: str, position: int, window: int = RECENT_TURNS
) -> SessionState:
    """One effect applied: the rules that the Redis function repeats (one contract suite runs over both)."""
    if effect is None:
        return state
    if isinstance(effect, AddTurn):
        if effect.version != state.version + 1:
            raise Corrupt(f"version {effect.version} follows {state.version}", log, position)
        return _with_turn(replace(state, position=position), effect, window)
    state = replace(state, position=position, revision=state.revision + 1)
    if isinstance(effect, HideTurns):
        return _without_turns(state, effect)
    return _with_summary(state, effect)


def _with_turn(state: SessionState, turn: AddTurn, window: int) -> SessionState:
    kept = [t for t in state.turns if t[0] > turn.version - window]
    return replace(
        state,
        version=turn.version,
        tokens=state.tokens + turn.tokens,
        first_us=state.first_us or turn.recorded_at_us,
        last_us=turn.recorded_at_us,
        agents=_with_member(state.agents, turn.agent_id),
        users=_with_member(state.users, turn.user_id),
        turns=(*kept, (turn.version, turn.view)),
    )


def _with_member(members: tuple[str, ...], member: str | None) -> tuple[str, ...]:
    if member is None or member in members or len(members) >= MEMBERS_MAX:
        return members
    return (*members, member)


def _without_turns(state: SessionState, hide: HideTurns) -> SessionState:
    return replace(
        state,
        turns=tuple(t for t in state.turns if not hide.from_version <= t[0] <= hide.to_version),
        nodes=tuple(n for n in state.nodes if not n.overlaps(hide.from_version, hide.to_version)),
        hidden=(*state.hidden, (hide.from_version, hide.to_version)),
    )


def _with_summary(state: SessionState, new: AddSummary) -> SessionState:
    """The new node replaces what lies within its range.

    It is dropped when it is stale: its revision is not above the retractions that overlap its range (its maker had
    not seen the last of them, so its text may hold what was taken back), a newer revision of the range stands, or
    it would cut into a node that it does not cover.
    """
    node = SummaryNode(new.from_version, new.to_version, new.level, new.revision, new.body)
    needed = required_revision(state.hidden, node.from_version, node.to_version)
    rest = [n for n in state.nodes if not n.within(node.from_version, node.to_version)]
    cuts = any(n.overlaps(node.from_version, node.to_version) for n in rest)
    older = any(
        n.revision > node.revision
        for n in state.nodes
        if (n.from_version, n.to_version) == (node.from_version, node.to_version)
    )
    if node.revision < needed or cuts or older:
        return state
    return replace(state, nodes=tuple(sorted((*rest, node), key=lambda n: n.from_version)))


def required_revision(hidden: Iterable[tuple[int, int]], from_version: int, to_version: int) -> int:
    """The least revision that a summary of from..to needs: one more than the retractions that overlap it."""
    return 1 + sum(1 for start, end in hidden if start <= to_version and from_version <= end)
