"""Cover and plan: given stored summaries and retractions, when planned, then these steps."""

from itertools import pairwise

import orjson

from turnlog_compressor.cover import Cover, cover_of
from turnlog_compressor.plan import Page, PlanSettings, Step, first_wanted, plan
from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.runs import RunSettings
from turnlog_compressor.source import SourceTurn
from turnlog_compressor.transcript import Piece, text_of, visible_ranges
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.payloads import MemorySummarized

POLICY = PolicySettings(turns=8, tokens=400, idle_turns=2, tail_turns=2, tail_tokens=80)
SETTINGS = PlanSettings(POLICY, RunSettings(turns_min=3), fan_in=3, gap_versions=5)
NOTHING = Page((), whole=True, close=False)


class Given:
    """Marks of a session."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def _add(self, kind: str, key: str, body: dict[str, object]) -> "Given":
        position = len(self.events) + 1
        fields = ("main", position, f"id-{position}", "t", "s", None, kind, 1, key, 0, None, None, None)
        self.events.append(Event(*fields, orjson.dumps(body), b"", "", b""))
        return self

    def summary(self, level: int, first: int, last: int, *sources: str, revision: int = 1) -> "Given":
        made = MemorySummarized(first, last, level, revision, "", (), "m", "1", 0, 0, sources)
        return self._add(ev.SUMMARIZED, made.key, made.to_json())

    def retracted(self, first: int, last: int) -> "Given":
        return self._add(ev.TURNS_RETRACTED, f"r{first}", {"from_version": first, "to_version": last})

    @property
    def cover(self) -> Cover:
        return cover_of(self.events)


def page(first: int, last: int, close: bool = False) -> Page:
    turns = [SourceTurn(v, "user", "", "x", "") for v in range(first, last + 1)]
    return Page(tuple(Piece(turn, 5) for turn in turns), whole=True, close=close)


def places(steps: list[Step]) -> list[tuple[int, int, int, int]]:
    return [(s.level, s.from_version, s.to_version, s.revision) for s in steps]


def test_without_summaries_the_plan_starts_at_version_one() -> None:
    cover = Given().cover
    assert (cover.to_version, first_wanted(cover, SETTINGS)) == (0, 1)
    assert places(plan(cover, page(1, 8), SETTINGS)) == [(1, 1, 6, 1)]
    assert plan(cover, page(1, 7), SETTINGS) == []


def test_closing_takes_the_tail_too_but_only_when_the_page_is_whole() -> None:
    cover = Given().summary(1, 1, 6).cover
    assert places(plan(cover, page(7, 9, close=True), SETTINGS)) == [(1, 7, 9, 1)]
    part = page(7, 9, close=True)
    assert plan(cover, Page(part.pieces, whole=False, close=True), SETTINGS) == []


def test_a_short_last_summary_grows() -> None:
    cover = Given().summary(1, 1, 6).summary(1, 7, 8).cover
    assert first_wanted(cover, SETTINGS) == 7
    assert places(plan(cover, page(7, 10, close=True), SETTINGS)) == [(1, 7, 10, 1)]


def test_a_short_last_summary_is_left_alone_when_nothing_follows_it() -> None:
    cover = Given().summary(1, 1, 6).summary(1, 7, 8).cover
    assert plan(cover, page(7, 8, close=True), SETTINGS) == []


def test_neighbours_of_a_level_become_one_of_the_next_and_name_their_sources() -> None:
    cover = Given().summary(1, 1, 6).summary(1, 7, 12).cover
    steps = plan(cover, page(13, 20), SETTINGS)
    assert places(steps) == [(1, 13, 18, 1), (2, 1, 18, 1)]
    assert steps[1].sources == ("summary/1/1-6/1", "summary/1/7-12/1", "summary/1/13-18/1")


def test_a_retraction_remakes_its_place_at_each_level_and_uses_what_still_holds() -> None:
    given = Given().summary(1, 1, 6).summary(1, 7, 12).summary(1, 13, 18)
    given.summary(2, 1, 18, "id-1", "id-2", "id-3").retracted(8, 8)
    steps = plan(given.cover, NOTHING, SETTINGS)
    assert places(steps) == [(1, 7, 12, 2), (2, 1, 18, 2)]
    assert steps[1].sources == ("summary/1/1-6/1", "summary/1/7-12/2", "summary/1/13-18/1")


def test_what_a_killed_compressor_remade_is_used() -> None:
    given = Given().summary(1, 1, 6).summary(1, 7, 12).summary(1, 13, 18)
    given.summary(2, 1, 18, "id-1", "id-2", "id-3").retracted(8, 8).summary(1, 7, 12, revision=2)
    assert places(plan(given.cover, NOTHING, SETTINGS)) == [(2, 1, 18, 2)]


def test_a_source_that_is_hidden_whole_is_left_out() -> None:
    given = Given().summary(1, 1, 6).summary(1, 7, 12).summary(1, 13, 18)
    given.summary(2, 1, 18, "id-1", "id-2", "id-3").retracted(7, 12)
    (step,) = plan(given.cover, NOTHING, SETTINGS)
    assert step.sources == ("summary/1/1-6/1", "summary/1/13-18/1")


def test_a_place_hidden_whole_is_made_empty_without_its_sources() -> None:
    given = Given().summary(1, 1, 6).summary(2, 1, 6, "id-1").retracted(1, 6)
    (step,) = plan(given.cover, NOTHING, SETTINGS)
    assert (step.level, step.revision, step.sources) == (2, 2, ())


def test_a_lost_place_whose_sources_are_unknown_is_made_from_its_turns() -> None:
    given = Given().summary(2, 1, 12).retracted(3, 3)
    steps = plan(given.cover, NOTHING, SETTINGS)
    assert places(steps) == [(1, 1, 5, 2), (1, 6, 10, 1), (1, 11, 12, 1), (2, 1, 12, 2)]
    assert steps[-1].sources == tuple(step.key for step in steps[:-1])


def test_a_lost_leaf_of_too_many_turns_becomes_level_two_and_stays_so() -> None:
    given = Given().summary(1, 1, 12).retracted(3, 3)
    steps = plan(given.cover, NOTHING, SETTINGS)
    assert places(steps) == [(1, 1, 5, 2), (1, 6, 10, 1), (1, 11, 12, 1), (2, 1, 12, 2)]
    assert steps[-1].sources == tuple(step.key for step in steps[:-1])
    given.summary(1, 1, 5, revision=2).summary(1, 6, 10)
    assert places(plan(given.cover, NOTHING, SETTINGS)) == [(1, 11, 12, 1), (2, 1, 12, 2)]
    given.summary(1, 11, 12).summary(2, 1, 12, revision=2)
    assert plan(given.cover, NOTHING, SETTINGS) == []


def test_a_lost_leaf_with_as_many_turns_as_a_window_stays_a_leaf() -> None:
    at_the_limit = Given().summary(1, 1, 9).retracted(3, 3).cover
    assert places(plan(at_the_limit, NOTHING, SETTINGS)) == [(1, 1, 9, 2)]
    above = Given().summary(1, 1, 10).retracted(3, 3).cover
    assert places(plan(above, NOTHING, SETTINGS))[-1] == (2, 1, 10, 2)


def test_a_source_of_too_many_turns_gives_its_parts_to_what_was_made_from_it() -> None:
    given = Given().summary(1, 1, 12).summary(1, 13, 18).summary(2, 1, 18, "id-1", "id-2").retracted(3, 3)
    steps = plan(given.cover, NOTHING, SETTINGS)
    assert places(steps) == [(1, 1, 5, 2), (1, 6, 10, 1), (1, 11, 12, 1), (2, 1, 18, 2)]
    assert steps[-1].sources == (*(step.key for step in steps[:-1]), "summary/1/13-18/1")


def test_a_hole_is_filled_in_bounded_stretches() -> None:
    cover = Given().summary(1, 8, 12).cover
    assert places(plan(cover, NOTHING, SETTINGS))[:2] == [(1, 1, 5, 1), (1, 6, 7, 1)]


def test_a_summary_that_filled_a_hole_does_not_part_its_neighbours() -> None:
    between = Given().summary(2, 1, 3).summary(2, 5, 7).cover
    assert places(plan(between, NOTHING, SETTINGS)) == [(1, 4, 4, 1), (3, 1, 7, 1)]
    before = Given().summary(2, 4, 6).summary(2, 7, 9).cover
    assert places(plan(before, NOTHING, SETTINGS)) == [(1, 1, 3, 1), (3, 1, 9, 1)]


def test_a_stored_summary_that_is_not_served_is_made_again_under_a_new_key() -> None:
    cover = Given().summary(1, 5, 9).summary(1, 1, 6).cover
    assert cover.next_revision((1, 1, 6)) == 2
    assert cover.next_revision((1, 1, 7)) == 1


def test_a_lost_summary_that_would_cut_a_standing_one_is_given_up() -> None:
    given = Given().summary(1, 1, 6).retracted(2, 2).summary(1, 5, 9)
    steps = plan(given.cover, NOTHING, SETTINGS)
    assert places(steps) == [(1, 1, 4, 2)]


def test_tiles_follow_each_other_from_version_one() -> None:
    tiles = Given().summary(1, 4, 6).summary(2, 9, 20).retracted(10, 10).cover.tiles
    assert tiles[0].from_version == 1
    assert all(a.to_version + 1 == b.from_version for a, b in pairwise(tiles))
    assert [tile.stands for tile in tiles] == [False, True, False, False]


def test_hidden_versions_are_left_out_of_ranges() -> None:
    assert visible_ranges(1, 10, [(8, 12), (3, 4), (4, 5)]) == [(1, 2), (6, 7)]
    assert visible_ranges(1, 10, [(1, 10)]) == []
    assert visible_ranges(5, 4, []) == []
    assert visible_ranges(3, 9, [(1, 2), (10, 11)]) == [(3, 9)]


def test_text_of_a_turn_holds_words_and_calls_but_no_pictures() -> None:
    blocks = [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"data": "AAAA" * 1000}},
        {"type": "tool_use", "name": "find", "input": {"q": "cats"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "two cats"}]},
    ]
    calls = [{"id": "1", "function": {"name": "buy", "arguments": '{"n":1}'}}, "broken"]
    text = text_of({"content": blocks, "tool_calls": calls})
    assert text.splitlines() == [
        "look",
        "[image]",
        '[calls find with {"q":"cats"}]',
        "two cats",
        '[calls buy with {"n":1}]',
    ]
