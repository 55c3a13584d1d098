"""An agent keeps its memory over a restart of everything: every server stopped, started again on the same folder."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool

from frameworks.scripted_model import ScriptedModel, calls, says
from system import System, environment, gone
from turnlog_client import AsyncClient, Client, RetryPolicy, Unavailable
from turnlog_client.frameworks.openai_agents import TurnlogSession

EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "openai_agents.py"


@pytest.fixture(scope="module")
def own() -> Iterator[System]:
    """A system of these tests' own, to be stopped."""
    with tempfile.TemporaryDirectory(prefix="turnlog-again-") as folder:
        running = System(Path(folder) / "data").start()
        yield running
        running.stop()


def restarted(system: System) -> None:
    """Stop all there is, make sure of it, and start it again."""
    tree = system.interrupt()
    assert len(tree) > 4
    assert [process for process in tree if not gone(process)] == []
    with (
        Client(system.url, retry=RetryPolicy(total_s=0.1)) as client,
        pytest.raises(Unavailable, match="cannot be reached"),
    ):
        client.log()
    system.start()


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def say(system: System, agent: Agent[Any], words: str) -> str:
    """One run, by a client and a session that know nothing of earlier ones."""
    async with AsyncClient(system.url) as client:
        session = TurnlogSession("a trip", client)
        result = await Runner.run(agent, words, session=session, run_config=RunConfig(tracing_disabled=True))
    return str(result.final_output)


async def test_an_agent_keeps_its_memory_over_a_restart_of_everything(own: System) -> None:
    model = ScriptedModel(calls("weather", '{"city":"Lisbon"}'), says("Sunny."), says("Friday."))
    agent = Agent(name="travel", model=model, tools=[weather])
    await say(own, agent, "My flight to Lisbon is on Friday. How is it there?")
    restarted(own)
    assert await say(own, agent, "When is my flight?") == "Friday."
    before = [item.get("content") or item.get("name") or item.get("output") for item in model.given[-1]]
    assert before[0] == "My flight to Lisbon is on Friday. How is it there?"
    assert before[2:4] == ["weather", "sunny in Lisbon"]
    assert before[4][0]["text"] == "Sunny."
    assert before[5:] == ["When is my flight?"]


def test_the_example_remembers_over_a_restart(own: System) -> None:
    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), *words],
            env=environment(TURNLOG_URL=own.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "I will remember that." in run("My flight to Lisbon is on Friday.")
    restarted(own)
    said = run("When is my flight?")
    assert "the model is given 3 items" in said
    assert "You told me: My flight to Lisbon is on Friday." in said
