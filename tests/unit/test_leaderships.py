"""What the session of a process says last: a lock that came just as its session was given up is no leadership."""

from turnlog_eventstore.leadership import Leaderships, LeadershipSettings, _Candidacy
from turnlog_eventstore.spread import Standing


class Session:
    """A session that PostgreSQL gives every lock; with `ending` it is closed as it does."""

    pid = 1

    def __init__(self, *, ending: bool) -> None:
        self.connection = self
        self.locked: set[str] = set()
        self._ending = ending

    async def try_lock(self, name: str) -> bool:
        self.locked.add(name)
        return True

    def is_closed(self) -> bool:
        return self._ending and bool(self.locked)


async def granted(session: Session) -> bool:
    leaderships = Leaderships("", LeadershipSettings())
    candidacy = leaderships._candidacies["k/main"] = _Candidacy("k/main")
    await leaderships._move(session, [Standing("k/main", None, frozenset({1}))])  # type: ignore[arg-type]
    return candidacy.granted.is_set()


async def test_a_lock_is_leadership_only_while_its_session_stands() -> None:
    assert await granted(Session(ending=False))
    assert not await granted(Session(ending=True))
