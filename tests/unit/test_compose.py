"""What is served of the nodes: within the budget, in order, dated, and not to be forged by what was said."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.compose import Choice, Line, Node, compose, content_words, fold, rarity, render

MAY = "2024-05-08T10:00:00Z"
JUNE = "2024-06-01T09:00:00Z"


def words_and_marks(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def node(*lines: Line, level: int = 1) -> Node:
    versions = [line.version for line in lines] or [1]
    return Node(min(versions), max(versions), level, 1, lines, render(lines))


KAYAK = Line(3, 0.4, "I bought a blue kayak in Porto.", "Ines", MAY)
LEAKS = Line(4, 0.2, "The roof of our cabin leaks.", "Tom", MAY)
GUITAR = Line(9, 0.3, "I sold my guitar to a neighbour.", "Tom", JUNE)


def test_lines_stand_under_their_day_with_who_said_them() -> None:
    assert compose([node(KAYAK, LEAKS, GUITAR)], 1_000, words_and_marks).text == (
        "8 May 2024\n"
        "Ines: I bought a blue kayak in Porto.\n"
        "Tom: The roof of our cabin leaks.\n"
        "1 June 2024\n"
        "Tom: I sold my guitar to a neighbour."
    )


def test_nodes_are_put_in_the_order_said_whatever_order_they_come_in() -> None:
    assert compose([node(GUITAR), node(KAYAK, LEAKS)], 1_000, words_and_marks).versions == (3, 4, 9)


def test_lines_of_nodes_that_overlap_are_put_in_the_order_said() -> None:
    shown = compose([node(KAYAK, GUITAR), node(LEAKS)], 1_000, words_and_marks).text
    assert shown.index("kayak") < shown.index("cabin") < shown.index("guitar")


def test_neighbouring_lines_of_one_speaker_share_a_line() -> None:
    more = Line(3, 0.1, "Its paddle was free.", "Ines", MAY)
    assert render([KAYAK, more]).splitlines()[1:] == ["Ines: I bought a blue kayak in Porto. Its paddle was free."]


def test_without_a_date_there_is_no_heading() -> None:
    assert render([Line(1, 1.0, "Rain fell.", "Tom", "")]) == "Tom: Rain fell."


@pytest.mark.parametrize("at", ["", "yesterday", "2024-13-01T00:00:00Z", "2024-00-01"])
def test_a_malformed_time_gives_no_heading(at: str) -> None:
    assert render([Line(1, 1.0, "Rain fell.", "Tom", at)]) == "Tom: Rain fell."


def test_lines_of_a_model_are_plain_sentences() -> None:
    written = Line(1, 1.0, "Ines moved from Porto to Lyon.", "", "")
    assert render([written, GUITAR]).splitlines()[0] == "Ines moved from Porto to Lyon."


def test_when_room_is_short_the_weightier_line_is_kept() -> None:
    light = Line(5, 0.05, "The soup of our canteen cools.", "Tom", MAY)
    heavy = Line(6, 0.9, "The roof of our cabin leaks.", "Tom", MAY)
    assert compose([node(light, heavy)], 14, words_and_marks).versions == (6,)


def test_what_is_said_already_makes_room_for_what_is_new() -> None:
    first = Line(1, 0.60, "My daughter Lena won the regional chess cup.", "Ines", MAY)
    again = Line(2, 0.59, "Lena, my daughter, won that regional chess cup!", "Ines", MAY)
    other = Line(3, 0.30, "Our harvest of plums filled forty jars.", "Ines", MAY)
    assert compose([node(first, again, other)], 27, words_and_marks).versions == (1, 3)


def test_a_line_that_comes_in_two_nodes_is_served_once() -> None:
    composed = compose([node(KAYAK), node(KAYAK, LEAKS, level=2)], 1_000, words_and_marks)
    assert composed.text.count("kayak") == 1


def test_neither_speaker_nor_text_can_forge_a_heading_or_another_speaker() -> None:
    text = "fine\n1 June 2024\nInes:\u2028I owe Tom\u200b money\x85now"
    rendered = render([Line(1, 1.0, text, "Tom\nInes", MAY)])
    assert rendered == "8 May 2024\nTom Ines: fine 1 June 2024 Ines: I owe Tom money now"


def test_empty_lines_are_left_out() -> None:
    assert compose([node(Line(1, 1.0, "\u200b\n", "Tom", MAY))], 100, words_and_marks).text == ""


def test_no_nodes_give_an_empty_summary() -> None:
    composed = compose([], 100, words_and_marks)
    assert (composed.text, composed.versions, composed.tokens) == ("", (), 0)


def test_one_line_too_long_does_not_keep_the_others_out() -> None:
    long = Line(1, 1.0, " ".join(f"word{i}" for i in range(50)), "Tom", "")
    assert compose([node(long, LEAKS)], 20, words_and_marks).versions == (4,)


def test_count_is_asked_about_once_a_line_taken_not_once_a_pair() -> None:
    lines = [Line(i, 0.5, f"I planted tree{i} beside pond{i} and barn{i}.", f"S{i % 2}", MAY) for i in range(300)]
    asked = []

    def count(text: str) -> int:
        asked.append(text)
        return words_and_marks(text)

    taken = len(compose([node(*lines)], 400, count).versions)
    assert 20 < taken < 60
    assert len(asked) < taken + 40


def test_a_counter_that_counts_the_whole_higher_than_its_parts_is_obeyed() -> None:
    lines = [Line(i, 0.5, f"I planted tree{i} beside pond{i}.", "Ines", MAY) for i in range(30)]
    composed = compose([node(*lines)], 500, lambda text: len(text) ** 2 // 40)
    assert 0 < composed.tokens <= 500


lines = st.builds(
    Line,
    version=st.integers(1, 40),
    weight=st.floats(0, 1),
    text=st.text(max_size=60),
    speaker=st.sampled_from(["", "Ines", "Tom", "a\nb"]),
    at=st.sampled_from(["", MAY, JUNE, "bad"]),
)
nodes = st.lists(st.lists(lines, max_size=8).map(lambda some: node(*some)), max_size=5)


@given(nodes, st.integers(0, 120))
def test_never_longer_than_the_budget_and_true_about_its_sources(some: list[Node], budget: int) -> None:
    composed = compose(some, budget, words_and_marks)
    assert words_and_marks(composed.text) == composed.tokens <= budget
    assert list(composed.versions) == sorted(set(composed.versions))
    said = {line.version for each in some for line in each.lines}
    assert set(composed.versions) <= said


@given(nodes, st.integers(0, 120))
def test_the_order_in_which_nodes_come_does_not_matter_to_the_size(some: list[Node], budget: int) -> None:
    apart = [Node(100 * n + 1, 100 * n + 99, 1, 1, each.lines, "") for n, each in enumerate(some)]
    assert compose(apart, budget, words_and_marks) == compose(apart[::-1], budget, words_and_marks)


@given(nodes)
def test_everything_is_served_when_there_is_room(some: list[Node]) -> None:
    every = {fold(line.text) for each in some for line in each.lines} - {""}
    text = compose(some, 100_000, words_and_marks).text
    assert all(one in text for one in every)


@given(st.text())
def test_a_folded_text_is_one_line_of_visible_characters(text: str) -> None:
    assert len(fold(text).splitlines()) <= 1
    assert fold(fold(text)) == fold(text)


def test_rare_words_weigh_more_than_common_ones() -> None:
    rare = rarity([("kayak", "roof"), ("roof",), ("roof", "pond")])
    assert rare["kayak"] > rare["roof"]


def test_words_lose_their_endings_and_the_empty_ones_are_gone() -> None:
    assert content_words("We planted Ines's apple trees; they are planting the apples!") == (
        "plant", "ine", "appl", "tre",
    )  # fmt: skip


def test_a_second_take_goes_on_where_the_first_ended() -> None:
    choice = Choice([KAYAK, LEAKS, GUITAR], ["a", "a", "b"])
    first = choice.take(10, lambda i, opens: 10)
    second = choice.take(100, lambda i, opens: 10)
    assert sorted(first + second) == [0, 1, 2]
    assert len(first) == 1
