"""One session's state from its whole history in PostgreSQL, up to a position.

Called when Redis does not hold a session (evicted, or lost) and by verification. Memory: one page of turns, the
session's marks, and the window that the fold keeps.
"""

from turnlog_events.effects import effects_of
from turnlog_events.fold import SessionState, apply, apply_effect
from turnlog_projector.ports import History

PAGE_TURNS = 200


async def fold_session(history: History, identity: str, up_to: int, window: int) -> SessionState:
    """The state after the session's last event at or below position `up_to`. Raises `Corrupt` for a hole."""
    tenant, session_id = identity.split("/", 1)
    marks = [event for event in await history.marks(tenant, session_id) if event.position <= up_to]
    state, after, next_mark = SessionState(), 0, 0
    while True:
        page = await history.turns(tenant, session_id, after_version=after, limit=PAGE_TURNS, newest_first=False)
        due = [turn for turn in page if turn.position <= up_to]
        for turn, effect in zip(due, effects_of(due), strict=True):
            while next_mark < len(marks) and marks[next_mark].position < turn.position:
                state = apply(state, marks[next_mark], window)
                next_mark += 1
            state = apply_effect(state, effect, turn.log, turn.position, window)
            after = state.version
        if len(page) < PAGE_TURNS or len(due) < len(page):
            break
    for mark in marks[next_mark:]:
        state = apply(state, mark, window)
    return state
