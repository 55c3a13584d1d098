"""What all adapters stand on: items beside content, names as ids, steps, and sessions read and changed by them."""

import json
import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system import environment
from turnlog_client import ApiError, AsyncClient, Client, turn
from turnlog_client.calls import Call
from turnlog_client.frameworks import history as module
from turnlog_client.frameworks.history import (
    NOTHING,
    Contended,
    History,
    appended,
    changed,
    history,
    joined,
    newest,
    retracted,
    session_ids,
)
from turnlog_client.frameworks.items import TurnTooLarge, facts_of, item_of, with_item
from turnlog_client.frameworks.names import id_of, id_of_parts, parts_of
from turnlog_client.frameworks.shown import BLANK, Shown, ShownCall, ShownResult, clean
from turnlog_client.ids import name_of
from turnlog_client.steps import Pause, Steps, arun, run
from turnlog_events.canonical import canonical
from turnlog_events.ids import is_id
from turnlog_ingest.turn_body import turn_event

RANDOM = random.Random(1).randbytes(15_000).hex()
LONG = "What was said at length. " * 5
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just(LONG)
    | st.just("a\0b"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "$content", "json", "item"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def exactly(value: Any) -> str:
    return json.dumps(value)


@given(
    item=VALUES, text=st.sampled_from(["", "short", LONG, LONG * 200]), more=st.sampled_from(["", "x" * 20_000, RANDOM])
)
def test_an_item_comes_back_exactly_from_what_the_api_stores(item: Any, text: str, more: str) -> None:
    whole = {"item": item, "texts": [text, text], "more": more}
    made = with_item("some", turn("user", text or BLANK), whole, {"noted": 1}, again=lambda sorted_item: sorted_item)
    turn_event("default", "s", made, None)
    stored = json.loads(canonical(made))
    assert exactly(item_of("some", stored)) == exactly(whole)
    assert facts_of("some", stored)["noted"] == 1
    assert "metadata" not in stored or item_of("other", stored) is None


def test_a_text_that_is_shown_is_not_stored_twice() -> None:
    made = with_item("some", turn("user", "x" * 200_000), {"parts": [{"text": "x" * 200_000}]})
    assert made["metadata"] == {"some": {"item": {"parts": [{"text": {"$content": 0}}]}, "refers": True}}
    with pytest.raises(TurnTooLarge, match="300"):
        with_item("some", turn("user", "x" * 300_000), {})


def test_what_is_nested_deeper_than_the_api_takes_comes_back() -> None:
    item: Any = "deep"
    for _ in range(200):
        item = [item]
    made = with_item("some", turn("user", "short"), item)
    turn_event("default", "s", made, None)
    assert item_of("some", made) == item


def test_what_metadata_cannot_hold_is_packed() -> None:
    item = {"numbers": list(range(5_000)), "text": LONG}
    made = with_item("some", turn("user", LONG), item, {"noted": 1})
    assert made["content"] == LONG
    assert made["metadata"]["some"].keys() == {"packed", "refers", "noted"}
    assert item_of("some", made) == item


def test_what_metadata_cannot_hold_even_packed_becomes_a_part() -> None:
    item = {"random": RANDOM}
    made = with_item("some", turn("user", "short"), item, {"noted": 1})
    assert made["content"] == [{"type": "text", "text": "short"}, {"type": "some.item", "item": item}]
    assert item_of("some", made) == item


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_names_become_ids_and_come_back(one: str, two: str) -> None:
    single, joined = id_of(one, "key"), id_of_parts(one, two, what="names")
    assert is_id(single)
    assert is_id(joined)
    assert name_of(single) == one
    assert parts_of(joined) == [one, two]
    assert id_of_parts(one, two, what="names", kind="#state") not in (joined, single)


def test_names_that_cannot_be_ids_are_refused() -> None:
    assert [id_of(name, "key") for name in (".", "..", "a+b c", "thread:42")] == [
        "+2E",
        "+2E+2E",
        "a+2Bb+20c",
        "thread:42",
    ]
    with pytest.raises(ValueError, match="key takes 201 characters as an id, of at most 200"):
        id_of("x" * 201, "key")
    with pytest.raises(ValueError, match="names must not be empty"):
        id_of_parts("a", "", what="names")
    assert parts_of("a:b#state") == parts_of("a:+FF") == []


def test_what_is_shown_is_what_the_api_takes() -> None:
    call, odd = ShownCall("c1", "look", "{}"), ShownResult("", "no id")
    shown = [
        Shown("user", ("a\0b \ud800 c",)),
        Shown("user"),
        Shown("assistant", calls=(call,)),
        Shown("user", calls=(call,)),
        Shown("user", ("and",), results=(ShownResult("c1", ""), odd)),
        Shown("assistant", results=(ShownResult("c1", "one"),), name="x" * 300),
        Shown("user", results=(ShownResult("c1", "one"), ShownResult("c2", "two"))),
        Shown("user", results=(odd,)),
        Shown("user", tuple(f"text {n}" for n in range(2_000))),
    ]
    for one in shown:
        turn_event("default", "s", turn(**one.fields()), None)
    roles = [one.fields()["role"] for one in shown]
    assert roles == ["user", "user", "assistant", "user", "user", "tool", "tool", "tool", "user"]
    assert shown[0].fields()["content"] == "a␀b � c" == clean("a\0b \ud800 c")
    assert "text 1999" in shown[-1].fields()["content"][-1]["text"]


FRAMEWORKS = ["pydantic_ai", "google.adk", "llama_index.core", "anthropic"]
EXTRAS = ["pydantic-ai", "google-adk", "llama-index", "anthropic"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_client_alone_imports_no_framework() -> None:
    code = "import sys, turnlog_client, turnlog_client.frameworks.history; print([m for m in sys.modules if m in {}])"
    assert python(code.format(FRAMEWORKS)) == "[]"


def test_a_missing_framework_is_told_with_its_extra() -> None:
    adapters = [name.removesuffix(".core").replace(".", "_") for name in FRAMEWORKS]
    code = f"""
import importlib, sys
for name in {FRAMEWORKS}:
    sys.modules[name] = None
for adapter in {adapters}:
    try:
        importlib.import_module("turnlog_client.frameworks." + adapter)
    except ImportError as error:
        print(error)
"""
    said = python(code).splitlines()
    assert [line.partition(": ")[2] for line in said] == [f"pip install 'turnlog[{extra}]'" for extra in EXTRAS]


@pytest.fixture
def session_id() -> str:
    return f"s-{uuid.uuid4().hex}"


def texts(found: History) -> list[str]:
    return [stored["content"] for stored in found.turns]


async def test_both_clients_take_the_same_steps(client: Client, turnlog_url: str, session_id: str) -> None:
    agent_id = f"a-{session_id}"

    def steps() -> Steps[list[str]]:
        yield Pause(0.0)
        before = yield from history(session_id)
        placed = yield from appended(
            session_id, [turn("user", "one", agent_id=agent_id), turn("user", "two")], before.version
        )
        with pytest.raises(ApiError):
            yield from appended(session_id, [turn("user", "late")], before.version)
        yield from retracted(session_id, [(placed[0].version, placed[0].version)], "test")
        assert session_id in (yield from session_ids(agent_id))
        return texts((yield from history(session_id)))

    assert run(client, steps()) == ["two"]
    async with AsyncClient(turnlog_url) as opened:
        assert await arun(opened, steps()) == ["two", "two"]


def test_a_session_is_read_whole_around_what_was_retracted(client: Client, session_id: str) -> None:
    assert run(client, history(session_id)) == run(client, newest(session_id, 5)) == NOTHING
    run(client, appended(session_id, [turn("user", str(n)) for n in range(2_400)]))
    gone = [(1_500, 1_500), (1, 1_100), (2_399, 2_400), (1_101, 1_102), (2_399, 2_399)]
    assert joined(gone) == [(1, 1_102), (1_500, 1_500), (2_399, 2_400)]
    run(client, retracted(session_id, gone, "test"))
    found = run(client, history(session_id))
    assert texts(found) == [str(n - 1) for n in range(1_103, 2_399) if n != 1_500]
    assert found.version == 2_400
    assert texts(run(client, newest(session_id, 2))) == ["2396", "2397"]
    assert texts(run(client, newest(session_id, 2, before_version=2_398))) == ["2395", "2396"]
    run(client, retracted(session_id, [(1, 2_400)], "test"))
    emptied = run(client, history(session_id))
    assert (emptied.version, emptied.turns) == (2_400, [])
    assert emptied.revision > found.revision


def test_a_session_too_long_for_memory_is_refused(
    client: Client, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HISTORY_MAX_TURNS", 3)
    run(client, appended(session_id, [turn("user", str(n)) for n in range(4)]))
    with pytest.raises(module.HistoryTooLong, match="begin a new one"):
        run(client, history(session_id))


def test_changes_at_the_same_time_follow_each_other(turnlog_url: str, session_id: str) -> None:
    def count() -> None:
        def decide(found: History) -> tuple[list[dict[str, Any]], None]:
            return [turn("user", str(len(found.turns)))], None

        with Client(turnlog_url) as client:
            for _ in range(3):
                run(client, changed(session_id, decide))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Client(turnlog_url) as client:
        assert texts(run(client, history(session_id))) == [str(n) for n in range(12)]


class Scripted:
    """Answers steps without a server."""

    def __init__(self, steps: Steps[Any], **answers: Any) -> None:
        self.asked: list[Call[Any] | Pause] = []
        self.steps, self.answers = steps, answers

    def take(self) -> Any:
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                step = self.steps.throw(error) if error else self.steps.send(answer)
                self.asked.append(step)
                answer = error = None
                given = self.answers[step.kind] if isinstance(step, Call) else None
                if isinstance(given, Exception):
                    error = given
                else:
                    answer = next(given) if isinstance(given, Iterator) else given
        except StopIteration as end:
            return end.value


PAGE = {"version": 0, "revision": 0, "turns": []}


def test_a_change_that_is_always_late_ends_in_an_error() -> None:
    late = ApiError(412, "version_mismatch", "is at another version")
    scripted = Scripted(changed("s", lambda found: ([turn("user", "x")], None)), read=PAGE, store=late)
    with pytest.raises(Contended, match="try again"):
        scripted.take()
    assert sum(isinstance(step, Pause) for step in scripted.asked) == module.CHANGES_MAX


def test_another_refusal_is_passed_on_at_once() -> None:
    refused = ApiError(403, "scope_missing", "needs a scope")
    scripted = Scripted(changed("s", lambda found: ([turn("user", "x")], None)), read=PAGE, store=refused)
    with pytest.raises(ApiError, match="scope"):
        scripted.take()
    assert len(scripted.asked) == 2


def test_what_is_retracted_between_two_pages_is_not_mixed() -> None:
    def page(revision: int, *versions: int) -> dict[str, Any]:
        return {"version": 3, "revision": revision, "turns": [{"version": version} for version in versions]}

    scripted = Scripted(history("s"), read=iter([page(1, 1, 2), page(2, 3), page(2, 1), page(2, 3)]))
    assert scripted.take() == History(3, [{"version": 1}, {"version": 3}], 2)
