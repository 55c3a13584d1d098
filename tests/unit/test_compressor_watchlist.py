"""The watchlist: given events, when time passes and jobs end, then these orders and this safe position."""

import orjson

from turnlog_compressor.orders import Left, Order, WatchSettings
from turnlog_compressor.policy import PolicySettings, Reason
from turnlog_compressor.watchlist import Watchlist
from turnlog_events import event as ev
from turnlog_events.event import Event

POLICY = PolicySettings(turns=10, tokens=1_000, idle_s=60, idle_turns=4, tail_turns=2, tail_tokens=200)


class Story:
    """A log told event by event to a watchlist."""

    def __init__(self, settings: WatchSettings | None = None) -> None:
        self.list = Watchlist(POLICY, settings or WatchSettings())
        self.now = 0.0
        self.position = 0
        self.versions: dict[str, int] = {}

    def event(self, session: str, kind: str, body: dict[str, object], version: int | None = None) -> int:
        self.position += 1
        fields = ("main", self.position, f"e{self.position}", "t", session, version, kind, 1, f"k{self.position}")
        payload = orjson.dumps(body)
        self.list.note(Event(*fields, 0, None, None, None, payload, b"", "", b""), self.now)
        return self.position

    def turns(self, session: str, count: int, text: str = "hello there") -> None:
        for _ in range(count):
            self.versions[session] = self.versions.get(session, 0) + 1
            self.event(session, ev.TURN_STORED, {"role": "user", "content": text}, self.versions[session])

    def request(self, session: str, task_id: str) -> int:
        body: dict[str, object] = {"task_id": task_id, "up_to_version": self.versions.get(session, 0)}
        return self.event(session, ev.COMPRESSION_REQUESTED, body)

    def retract(self, session: str) -> int:
        return self.event(session, ev.TURNS_RETRACTED, {"from_version": 1, "to_version": 1})

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.list.tick(self.now)

    def take(self) -> Order:
        order = self.list.take()
        assert order is not None
        return order

    def finish(self, order: Order, turns: int = 0, tokens: int = 0) -> None:
        self.list.done(order, Left(order.version, turns, tokens), self.now)

    @property
    def safe(self) -> int:
        return self.list.safe_position(self.position)


def test_a_session_becomes_due_by_turns_once() -> None:
    story = Story()
    story.turns("a", 9)
    assert story.list.take() is None
    story.turns("a", 3)
    order = story.take()
    assert (order.session_id, order.reason, order.close_at, order.version) == ("a", Reason.TURNS, None, 12)
    assert story.list.take() is None


def test_a_session_becomes_due_by_tokens() -> None:
    story = Story()
    story.turns("a", 1, "x" * 4_000)
    assert story.take().reason is Reason.TOKENS


def test_silence_makes_a_session_due_to_be_covered_whole() -> None:
    story = Story()
    story.turns("a", 4)
    story.turns("b", 3)
    story.wait(59)
    assert story.list.take() is None
    story.wait(1)
    order = story.take()
    assert (order.session_id, order.reason, order.close_at) == ("a", Reason.IDLE, 4)
    assert story.list.take() is None


def test_a_request_is_taken_before_everything_else_and_one_by_one() -> None:
    story = Story()
    story.turns("a", 10)
    story.turns("b", 1)
    story.request("b", "one")
    story.request("b", "two")
    first = story.take()
    assert (first.session_id, first.reason, first.close_at, first.task and first.task.task_id) == (
        "b",
        Reason.REQUESTED,
        1,
        "one",
    )
    assert story.take().session_id == "a"
    assert story.list.take() is None
    story.finish(first)
    second = story.take()
    assert second.task is not None
    assert second.task.task_id == "two"


def test_a_retraction_makes_a_session_due_and_one_during_the_job_again() -> None:
    story = Story()
    story.turns("a", 5)
    story.retract("a")
    order = story.take()
    assert order.reason is Reason.RETRACTED
    story.retract("a")
    story.finish(order)
    again = story.take()
    assert again.reason is Reason.RETRACTED
    story.finish(again)
    assert story.list.take() is None


def test_at_most_one_job_a_session_and_what_comes_meanwhile_counts_after_it() -> None:
    story = Story()
    story.turns("a", 10)
    order = story.take()
    story.turns("a", 10)
    assert story.list.take() is None
    story.finish(order, turns=2)
    assert story.take().version == 20


def test_what_a_job_left_is_remembered_when_the_session_moves_again() -> None:
    story = Story()
    story.turns("a", 10)
    story.finish(story.take(), turns=2, tokens=100)
    assert len(story.list) == 0
    story.turns("a", 7)
    assert story.list.take() is None
    story.turns("a", 1)
    assert story.take().reason is Reason.TURNS


def test_a_job_that_read_ahead_of_the_follower_is_not_counted_twice() -> None:
    story = Story()
    story.turns("a", 10)
    order = story.take()
    story.list.done(order, Left(version=15, turns=2, tokens=100), story.now)
    story.turns("a", 12)  # versions 11..22: five of them were seen by the job
    assert story.list.take() is None
    story.turns("a", 1)
    assert story.take().version == 23


def test_turns_that_a_job_has_covered_already_do_not_make_a_session_due_by_tokens() -> None:
    story = Story()
    story.turns("a", 10)
    story.list.done(story.take(), Left(version=15, turns=0, tokens=0), story.now)
    story.turns("a", 5, "x" * 4_000)  # versions 11..15, each enough on its own
    assert story.list.take() is None
    story.turns("a", 1, "x" * 4_000)
    assert story.take().reason is Reason.TOKENS


def test_the_safe_position_stays_before_the_last_turn_of_what_waits() -> None:
    story = Story()
    story.turns("a", 4)
    story.turns("b", 2)
    assert story.safe == 3
    story.wait(60)
    order = story.take()
    assert story.safe == 3
    story.finish(order)
    assert story.safe == 6


def test_the_safe_position_stays_before_a_task_until_it_is_done() -> None:
    story = Story()
    asked = story.request("a", "one")
    story.turns("b", 3)
    order = story.take()
    assert story.safe == asked - 1
    story.list.put_off(order, story.now + 5)
    assert story.safe == asked - 1
    assert story.list.take() is None
    story.wait(5)
    story.finish(story.take())
    assert story.safe == story.position


def test_the_safe_position_stays_before_a_retraction_that_came_during_a_job() -> None:
    story = Story()
    story.turns("a", 5)
    story.retract("a")
    order = story.take()
    retracted = story.retract("a")
    story.turns("a", 1)
    story.finish(order)
    assert story.safe < retracted


def test_a_failed_session_is_dropped_until_it_moves() -> None:
    story = Story()
    story.request("a", "one")
    story.list.done(story.take(), None, story.now)
    assert story.list.take() is None
    assert story.safe == story.position


def test_too_many_waiting_sessions_are_compressed_early_oldest_first() -> None:
    story = Story(WatchSettings(waiting_max=2))
    for session in "abc":
        story.turns(session, 4)
    story.wait(1)
    order = story.take()
    assert (order.session_id, order.reason) == ("a", Reason.IDLE)
    assert story.list.take() is None


def test_what_is_remembered_is_bounded() -> None:
    story = Story(WatchSettings(remembered_max=3))
    for session in range(50):
        story.turns(str(session), 1)
    assert len(story.list._known) == 3
    assert len(story.list) == 0


def test_a_storm_of_requests_fills_the_list_until_they_are_done() -> None:
    story = Story(WatchSettings(due_max=4))
    for number in range(3):
        assert not story.list.full
        story.request("a", str(number))
    assert story.list.full
    story.finish(story.take())
    assert not story.list.full


def test_sessions_of_program_state_are_left_alone_until_somebody_asks() -> None:
    story = Story(WatchSettings(left_alone=("langgraph.",)))
    story.turns("langgraph.thread.a", 30)
    story.retract("langgraph.thread.a")
    story.wait(1_000)
    assert story.list.take() is None
    assert story.safe == story.position
    story.request("langgraph.thread.a", "k")
    assert story.take().reason is Reason.REQUESTED
