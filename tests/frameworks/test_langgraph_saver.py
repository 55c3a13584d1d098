"""LangGraph's checkpointer on a running system: its conformance suite, real graphs, and what the suite does not ask."""

import asyncio
import operator
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from system import System, environment
from turnlog_client import AsyncClient, Client, as_id
from turnlog_client.frameworks.langgraph import TurnlogSaver, records

EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "with_langgraph.py"


def config_of(thread_id: str, namespace: str = "") -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}


def checkpoint_of(**values: Any) -> Any:
    return {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, 1)}


@pytest.mark.parametrize("kind", ["async client", "client"])
async def test_it_conforms_in_full(system: System, kind: str) -> None:
    @checkpointer_test(name=f"TurnlogSaver, {kind}")
    async def saver() -> AsyncIterator[TurnlogSaver]:
        if kind == "client":
            with Client(system.url) as client:
                yield TurnlogSaver(client)
        else:
            async with AsyncClient(system.url) as aclient:
                yield TurnlogSaver(aclient)

    report = await validate(saver)
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert report.passed_all()
    assert report.conformance_level() == "FULL"
    assert all(result.detected and result.tests_passed > 0 for result in report.results.values())
    assert len(report.results) == 8


class State(TypedDict):
    """A list that nodes add to."""

    notes: Annotated[list[str], operator.add]


def graph_of(saver: TurnlogSaver) -> Any:
    """Two nodes; the second asks a human."""
    graph = StateGraph(State)
    graph.add_node("first", lambda state: {"notes": ["first"]})
    graph.add_node("second", lambda state: {"notes": [interrupt("go on?")]})
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    return graph.compile(checkpointer=saver)


def test_a_graph_goes_on_in_another_process(system: System, name: str) -> None:
    with Client(system.url) as one:
        asked = graph_of(TurnlogSaver(one)).invoke({"notes": ["start"]}, config_of(name))
    assert asked["__interrupt__"][0].value == "go on?"
    with Client(system.url) as other:
        graph = graph_of(TurnlogSaver(other))
        assert graph.get_state(config_of(name)).next == ("second",)
        assert graph.invoke(Command(resume="yes"), config_of(name))["notes"] == ["start", "first", "yes"]
        history = list(graph.get_state_history(config_of(name)))
        assert [len(state.values.get("notes", [])) for state in history] == [3, 2, 1, 0]
        replayed = graph.invoke(None, history[2].config)
        assert replayed["notes"] == ["start", "first"]


async def test_a_graph_runs_asynchronously(aclient: AsyncClient, name: str) -> None:
    graph = graph_of(TurnlogSaver(aclient))
    await graph.ainvoke({"notes": ["start"]}, config_of(name))
    assert (await graph.ainvoke(Command(resume="yes"), config_of(name)))["notes"] == ["start", "first", "yes"]
    states = [state async for state in graph.aget_state_history(config_of(name))]
    assert len(states) == 4
    with pytest.raises(TypeError, match="without await"):
        graph.get_state(config_of(name))


async def test_many_threads_run_at_once(client: Client, name: str) -> None:
    graph = graph_of(TurnlogSaver(client))

    async def one(number: int) -> list[str]:
        config = config_of(f"{name} {number}")
        await graph.ainvoke({"notes": [str(number)]}, config)
        done = await graph.ainvoke(Command(resume="yes"), config)
        found: list[str] = done["notes"]
        return found

    assert await asyncio.gather(*map(one, range(8))) == [[str(n), "first", "yes"] for n in range(8)]


@pytest.mark.parametrize("size", [1_000, 300_000, 900_000])
def test_states_of_any_size_come_back(client: Client, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored in the head, in pieces of one request, and in more than one request holds."""
    monkeypatch.setattr(records, "REQUEST_PIECES", 3)
    noise = uuid.uuid4().bytes * 2 + b"".join(uuid.uuid5(uuid.NAMESPACE_OID, str(n)).bytes for n in range(size // 16))
    saver, elsewhere = TurnlogSaver(client), TurnlogSaver(client)
    stored = saver.put(config_of(name), checkpoint_of(blob=noise), {"step": 1}, {})
    saver.put_writes(stored, [("out", noise), ("more", "x")], "task")
    found = elsewhere.get_tuple(config_of(name))
    assert found is not None
    assert found.checkpoint["channel_values"]["blob"] == noise
    assert found.pending_writes == [("task", "out", noise), ("task", "more", "x")]
    saver.copy_thread(name, f"{name} copy")
    copied = elsewhere.get_tuple(config_of(f"{name} copy"))
    assert copied is not None
    assert (copied.checkpoint, copied.pending_writes) == (found.checkpoint, found.pending_writes)


def test_what_another_process_deletes_is_gone_here(client: Client, name: str) -> None:
    one, other = TurnlogSaver(client), TurnlogSaver(client)
    one.put(config_of(name), checkpoint_of(a=1), {"run_id": "r1"}, {})
    kept = one.put(config_of(name), checkpoint_of(a=2), {"run_id": "r2"}, {})
    assert len(list(other.list(config_of(name)))) == 2
    one.delete_for_runs(["r1"])
    assert [each.config for each in other.list(config_of(name))] == [kept]
    one.delete_thread(name)
    assert other.get_tuple(config_of(name)) is None
    one.put(config_of(name), checkpoint_of(a=3), {}, {})
    again = other.get_tuple(config_of(name))
    assert again is not None
    assert again.checkpoint["channel_values"] == {"a": 3}


def test_a_checkpoint_stored_twice_counts_once_and_is_deleted_whole(client: Client, name: str) -> None:
    saver = TurnlogSaver(client)
    checkpoint = checkpoint_of(a=1)
    saver.put(config_of(name), checkpoint, {"run_id": "r"}, {})
    saver.put(config_of(name), {**checkpoint, "channel_values": {"a": 2}}, {"run_id": "r"}, {})
    assert [each.checkpoint["channel_values"] for each in saver.list(config_of(name))] == [{"a": 2}]
    saver.delete_for_runs(["r"])
    assert list(saver.list(config_of(name))) == []


def test_writes_are_applied_in_the_order_of_the_tasks(client: Client, name: str) -> None:
    saver = TurnlogSaver(client)
    stored = saver.put(config_of(name), checkpoint_of(), {}, {})
    saver.put_writes(stored, [("out", "b0"), ("out", "b1")], "task-a", "path-b")
    saver.put_writes(stored, [("out", "a0")], "task-b", "path-a")
    saver.put_writes(stored, [("__error__", "first")], "task-c", "path-c")
    saver.put_writes(stored, [("__error__", "second")], "task-c", "path-c")
    saver.put_writes(stored, [("out", "late")], "task-a", "path-b")
    found = saver.get_tuple(config_of(name))
    assert found is not None
    assert [value for _, _, value in found.pending_writes or ()] == ["a0", "b0", "b1", "second"]


def test_threads_of_any_name_do_not_meet_and_are_listed(client: Client, name: str) -> None:
    saver = TurnlogSaver(client)
    names = [f"{name} x", f"{name}+x", f"{name}/x#", f"{name}日", name + "y" * 300]
    for each in names:
        saver.put(config_of(each), checkpoint_of(who=each), {"mark": name}, {})
    for each in names:
        found = saver.get_tuple(config_of(each))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"who": each}
    listed = [each.config["configurable"]["thread_id"] for each in saver.list(None, filter={"mark": name})]
    assert listed == list(reversed(names))
    assert len(list(saver.list(None, filter={"mark": name}, limit=2))) == 2


def test_only_what_is_new_is_read_again(client: Client, name: str) -> None:
    asked: list[Any] = []
    send = client.send

    def counted(call: Any) -> Any:
        asked.append(call)
        return send(call)

    saver = TurnlogSaver(client)
    for n in range(30):
        saver.put(config_of(name), checkpoint_of(a=n), {"step": n}, {})
    saver.get_tuple(config_of(name))
    client.send = counted  # type: ignore[method-assign]
    saver.put(config_of(name), checkpoint_of(a=99), {}, {})
    found = saver.get_tuple(config_of(name))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": 99}
    assert [call.method for call in asked] == ["POST", "GET"]
    assert asked[1].params["after_version"] == 30
    asked.clear()
    assert len(list(saver.list(config_of(name)))) == 31
    assert [call.params["after_version"] for call in asked] == [31]


class DeltaState(TypedDict):
    """A list stored as differences."""

    notes: Annotated[list[str], DeltaChannel(lambda state, writes: [*state, *(x for w in writes for x in w)], list)]


def test_pruning_keeps_what_delta_channels_are_made_from(client: Client, name: str) -> None:
    saver = TurnlogSaver(client)
    graph = StateGraph(DeltaState)
    graph.add_node("note", lambda state: {"notes": [f"n{len(state['notes'])}"]})
    graph.add_edge(START, "note")
    graph.add_edge("note", END)
    compiled = graph.compile(checkpointer=saver)
    for word in ("a", "b"):
        compiled.invoke({"notes": [word]}, config_of(name))
    before = compiled.get_state(config_of(name)).values["notes"]
    assert len(before) == 4
    saver.prune([name])
    assert graph.compile(checkpointer=TurnlogSaver(client)).get_state(config_of(name)).values["notes"] == before
    with pytest.raises(ValueError, match="keep_latest or delete"):
        saver.prune([name], strategy="half")


def test_threads_are_not_summarised(client: Client, name: str) -> None:
    """Fifty checkpoints are more than make any other session due; a summary that was asked for after them is made, and
    by then theirs would have been."""
    saver = TurnlogSaver(client)
    for n in range(50):
        saver.put(config_of(name), checkpoint_of(a=n), {}, {})
    client.store_many(
        f"{name}-talk", [{"role": "user", "content": f"Sentence number {n} about tea."} for n in range(9)]
    )
    assert client.compress(f"{name}-talk", wait=True)["state"] in ("done", "skipped")
    assert client.session(as_id(name, "langgraph.thread."))["covered_to"] == 0


def test_another_serializer_may_be_given(client: Client, name: str) -> None:
    saver = TurnlogSaver(client, serde=JsonPlusSerializer(pickle_fallback=True))
    stored = saver.put(config_of(name), checkpoint_of(a={1, 2}), {"source": "loop", "step": -1}, {})
    found = saver.get_tuple(stored)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": {1, 2}}
    assert found.metadata == {"source": "loop", "step": -1}


def test_the_example_runs_as_a_user_would(system: System) -> None:
    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), *words],
            env=environment(TURNLOG_URL=system.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "the graph asks: Shall I book the flight?" in run("begin")
    assert "['trip to Lisbon', 'likes: window', 'booked: yes']" in run("answer", "yes")
