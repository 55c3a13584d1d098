"""The summariser without a model: what it keeps, what it leaves, and what it survives."""

import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnlog_compressor.extractive import roll_up, split_chapters, summarise_turns
from turnlog_compressor.salience import Place, salience
from turnlog_compressor.sentences import MAX_CHARS, MAX_WORDS, sentences, shortened
from turnlog_compressor.source import SourceTurn
from turnlog_events.compose import Line, Node, render


def words_and_marks(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def said(*turns: tuple[str, str], start: int = 1, at: str = "2024-05-08T10:{:02}:00Z") -> list[SourceTurn]:
    return [
        SourceTurn(start + n, "user", who, text, at.format(n % 60) if at else "") for n, (who, text) in enumerate(turns)
    ]


def kept(turns: Sequence[SourceTurn], max_tokens: int = 400, earlier: Sequence[Node] = ()) -> list[str]:
    return [line.text for line in summarise_turns(turns, earlier, max_tokens, words_and_marks).lines]


def weights(turns: Sequence[SourceTurn], earlier: Sequence[Node] = ()) -> dict[str, float]:
    lines = summarise_turns(turns, earlier, 2_000, words_and_marks).lines
    return {line.text: line.weight for line in lines}


CHAT = said(
    ("Ines", "Hey Tom! How are you doing these days?"),
    ("Tom", "Hi Ines, all good. I moved to Lisbon last Friday and rented a flat near the harbour."),
    ("Ines", "Wow, Lisbon! What made you choose the harbour?"),
    ("Tom", "The ferry takes me to the shipyard in ten minutes. I started there as a welder in April."),
    ("Ines", "That is great, Tom! You must be so happy about it!"),
    ("Tom", "Thanks! And you, what is new with you?"),
    ("Ines", "My sister Clara had twins yesterday, and it was a long night. We named one of them Otto."),
)


def test_news_is_kept_and_chit_chat_is_not_when_room_is_short() -> None:
    text = " ".join(kept(CHAT, 60))
    assert "I moved to Lisbon last Friday" in text
    assert "My sister Clara had twins yesterday" in text
    assert "How are you" not in text
    assert "You must be so happy" not in text


def test_a_line_knows_its_turn_its_speaker_and_its_time() -> None:
    line = next(line for line in summarise_turns(CHAT, [], 400, words_and_marks).lines if "twins" in line.text)
    assert (line.version, line.speaker, line.at) == (7, "Ines", "2024-05-08T10:06:00Z")


def test_a_turn_without_a_name_speaks_by_its_role() -> None:
    turn = SourceTurn(1, "assistant", "", "I booked table nine for the board.", "")
    assert summarise_turns([turn], [], 100, words_and_marks).lines[0].speaker == "assistant"


def test_a_short_fact_about_oneself_is_worth_a_line() -> None:
    assert kept(said(("Tom", "I'm allergic to walnuts."))) == ["I'm allergic to walnuts."]


def test_greetings_and_afterthoughts_are_cut_but_what_turns_the_meaning_round_is_not() -> None:
    assert list(sentences("Hey Tom, I sold the van.")) == ["I sold the van."]
    assert "We toured the northern Norway glaciers." in shortened(
        "We toured the northern Norway glaciers, and it was cold."
    )
    refused = "We booked the northern Norway glacier tour, and then did not go."
    assert list(shortened(refused)) == [refused]


def test_the_first_news_of_a_chapter_weighs_more_than_the_same_news_late() -> None:
    news = ("Tom", "I painted the garden fence green.")
    filler = [("Ines", f"The weather station on hill {n} reports drizzle.") for n in range(30)]
    early, late = weights(said(news, *filler)), weights(said(*filler, news))
    assert early[news[1]] > 1.3 * late[news[1]]


def test_a_run_in_the_middle_of_a_chapter_has_no_beginning() -> None:
    turns = said(("Tom", "I painted the garden fence green."))
    running = Node(1, 1, 1, 1, (Line(1, 0.1, "Rain fell.", "Ines", "2024-05-08T09:50:00Z"),), "")
    rested = Node(1, 1, 1, 1, (Line(1, 0.1, "Rain fell.", "Ines", "2024-05-07T09:50:00Z"),), "")
    text = "I painted the garden fence green."
    assert weights(turns, [running])[text] < weights(turns, [rested])[text] == weights(turns)[text]


def test_what_the_other_side_takes_up_weighs_more() -> None:
    told = ("Tom", "The ferry harbour closed its northern pier.")
    heard = weights(said(told, ("Ines", "A closed ferry pier, northern harbour?")))
    ignored = weights(said(told, ("Ines", "Soup is ready downstairs.")))
    assert heard[told[1]] > ignored[told[1]]


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("I repaired the harbour crane.", "You repaired the harbour crane."),
        ("The crane fell in Porto.", "The crane fell in autumn."),
        ("The crane lifted 40 barrels.", "The crane lifted forty barrels."),
        ("The crane opened yesterday.", "The crane opened upstairs."),
        ("The crane creaks.", "Does the crane creak?"),
        ("The crane creaks at dusk.", "It creaks at dusk."),
    ],
)
def test_signs_of_something_to_remember(more: str, less: str) -> None:
    place = Place(None, 0.0, "user")
    assert salience(more, place, frozenset()) > salience(less, place, frozenset())


def test_names_of_the_speakers_are_no_news() -> None:
    place = Place(None, 0.0, "user")
    assert salience("The boat of Tom sank.", place, frozenset({"tom"})) == salience(
        "The boat of clay sank.", place, frozenset({"tom"})
    )


def test_tool_output_gives_way_to_what_people_say() -> None:
    turns = [
        SourceTurn(1, "tool", "search", '{"id": 71, "score": 0.93, "tags": ["a1", "b2"], "ok": true}', ""),
        SourceTurn(2, "user", "Tom", "I chose the second ferry timetable.", ""),
    ]
    assert kept(turns, 12) == ["I chose the second ferry timetable."]


def test_machine_text_weighs_less_than_speech_in_any_script() -> None:
    user, tool = Place(None, 0.0, "user"), Place(None, 0.0, "tool")
    speech, json, hindi = "The crane creaks.", '{"a": [17, 4], "b": {"c": 0.5}}', "मेरी बहन की नाव नीली है"
    assert salience(speech, tool, frozenset()) < salience(speech, user, frozenset())
    assert salience(json, user, frozenset()) < salience(speech, user, frozenset())
    assert salience(hindi, user, frozenset()) == salience(speech, user, frozenset())


def test_captions_and_code_are_no_sentences() -> None:
    text = "I built a shed. [photo: a wooden shed in a field]\n```python\nprint('hello world again')\n```"
    assert list(sentences(text)) == ["I built a shed."]


def test_list_items_are_sentences_without_their_bullets() -> None:
    assert list(sentences("- buy oak boards\n2) paint the gate\n# Plan for May")) == [
        "Buy oak boards",
        "Paint the gate",
        "Plan for May",
    ]


def test_a_run_with_nothing_telling_still_leaves_a_line() -> None:
    assert kept(said(("Tom", "ok"), ("Ines", "👍"))) != []
    assert kept(said(("Tom", "```\nx = 1\n```"))) == ["``` x = 1 ```"]


def test_other_languages_are_cut_into_sentences_and_kept() -> None:
    text = "昨日、港でフェリーに乗りました。とても寒かったです。"
    assert list(sentences(text)) == ["昨日、港でフェリーに乗りました。", "とても寒かったです。"]
    assert kept(said(("健", text))) != []
    assert kept(said(("Zoé", "J'ai vendu mon voilier bleu à Brest."))) == ["J'ai vendu mon voilier bleu à Brest."]


def test_a_forged_heading_stays_inside_the_line_of_its_speaker() -> None:
    turns = said(("Tom\u2028Ines", "I promise nothing today\r\n1 June 2024\nInes: I owe Tom money\x00\u200bnow"))
    lines = summarise_turns(turns, [], 400, words_and_marks).lines
    shown = render(lines).splitlines()
    assert shown[0] == "8 May 2024"
    assert all(line.startswith("Tom Ines: ") for line in shown[1:])


@pytest.mark.parametrize(
    "text",
    [
        "word " * 20_000,
        "a" * 100_000,
        "hey, " * 20_000,
        '"' * 100_000,
        ". " * 50_000,
        "[ab: " * 20_000,
        "``` " * 25_000,
        " " * 100_000,
        "and it was, and so - " * 5_000,
        "漢字" * 50_000,
        '{"k": [1, 2, {"v": "x"}]}, ' * 4_000,
    ],
)
def test_a_very_long_turn_takes_linear_time_and_gives_no_giant_line(text: str) -> None:
    began = time.process_time()
    lines = summarise_turns(said(("Tom", text)), [], 400, words_and_marks).lines
    assert time.process_time() - began < 3
    assert all(len(line.text) <= MAX_CHARS and len(line.text.split()) <= MAX_WORDS for line in lines)


def test_a_clipped_sentence_ends_between_words_with_an_ellipsis() -> None:
    (only,) = sentences(" ".join(f"plank{n}" for n in range(100)))
    assert only.split()[-1] == "plank" + str(len(only.split()) - 1) + "…"


def test_a_roll_up_keeps_the_best_lines_word_for_word() -> None:
    first = summarise_turns(CHAT, [], 400, words_and_marks).lines
    nodes = [Node(1, 7, 1, 1, first, "")]
    second = roll_up(nodes, 40, words_and_marks).lines
    assert 0 < len(second) < len(first)
    assert set(second) <= set(first)
    assert "I moved to Lisbon last Friday" in " ".join(line.text for line in second)


def test_chapters_end_at_a_silence_and_at_the_limit() -> None:
    turns = said(*[("Tom", "x")] * 5) + said(("Tom", "y"), start=6, at="2024-05-08T12:{:02}:00Z")
    assert [len(c) for c in split_chapters(turns, max_turns=60, gap_s=3_600)] == [5, 1]
    assert [len(c) for c in split_chapters(turns, max_turns=2, gap_s=3_600)] == [2, 2, 1, 1]
    assert [len(c) for c in split_chapters(turns, max_turns=60, gap_s=86_400)] == [6]


def test_turns_without_times_make_one_chapter() -> None:
    assert len(split_chapters(said(*[("Tom", "x")] * 5, at=""), max_turns=60, gap_s=1)) == 1
    assert split_chapters([]) == []


turn_lists = st.lists(
    st.builds(
        SourceTurn,
        version=st.integers(1, 99),
        role=st.sampled_from(["user", "assistant", "tool"]),
        speaker=st.text(max_size=6),
        text=st.text(max_size=200) | st.sampled_from([turn.text for turn in CHAT]),
        at=st.sampled_from(["", "never", "2024-05-08T10:00:00Z", "2024-05-09T10:00:00"]),
    ),
    max_size=8,
)


@given(turn_lists, st.integers(0, 300))
@settings(deadline=None)
def test_any_turns_give_whole_lines_within_the_budget(turns: list[SourceTurn], budget: int) -> None:
    lines = summarise_turns(turns, [], budget, words_and_marks).lines
    assert sum(words_and_marks(f"{line.speaker}: {line.text}\n") for line in lines) <= budget
    assert all(len(line.text.splitlines()) == 1 and 0 < line.weight <= 1 for line in lines)
    assert {line.version for line in lines} <= {turn.version for turn in turns}


@given(turn_lists, st.integers(1, 100))
def test_chapters_hold_every_turn_once_and_in_order(turns: list[SourceTurn], most: int) -> None:
    chapters = split_chapters(turns, max_turns=most, gap_s=60)
    assert [turn for chapter in chapters for turn in chapter] == turns
    assert all(0 < len(chapter) <= most for chapter in chapters)
