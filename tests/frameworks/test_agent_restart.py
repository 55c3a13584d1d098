"""An agent keeps its memory over a restart of everything: every server stopped, started again on the same folder."""

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool

from frameworks.scripted_model import ScriptedModel, calls, says
from system import System, environment, gone
from turnlog_client import AsyncClient, Client, RetryPolicy, Unavailable
from turnlog_client.frameworks.openai_agents import TurnlogSession

EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "with_openai_agents.py"
TOLD = "My flight to Lisbon is on Friday."

pytestmark = pytest.mark.timeout(300)


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


def run_example(system: System, words: str) -> str:
    """What the example prints, run as a user would."""
    command = [sys.executable, str(EXAMPLE), words]
    done = subprocess.run(
        command, env=environment(TURNLOG_URL=system.url), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def restart(system: System) -> None:
    """Stop all there is, make sure of it, and start it again."""
    tree = system.interrupt()
    assert len(tree) > 4
    assert [process for process in tree if not gone(process)] == []
    policy = RetryPolicy(total_s=0.1)
    with Client(system.url, retry=policy) as client, pytest.raises(Unavailable, match="cannot be reached"):
        client.log()
    system.start()


@dataclass(frozen=True)
class Restarted:
    """A system that was stopped and started after the agent and the example had each been told something."""

    system: System
    agent: Agent[Any]
    model: ScriptedModel


@pytest.fixture(scope="module")
async def restarted() -> AsyncIterator[Restarted]:
    model = ScriptedModel(calls("weather", '{"city":"Lisbon"}'), says("Sunny."), says("Friday."))
    agent = Agent(name="travel", model=model, tools=[weather])
    with tempfile.TemporaryDirectory(prefix="turnlog-again-") as folder:
        system = System(Path(folder) / "data").start()
        try:
            assert await say(system, agent, f"{TOLD} How is it there?") == "Sunny."
            assert "I will remember that." in run_example(system, TOLD)
            restart(system)
            yield Restarted(system, agent, model)
        finally:
            system.stop()


async def test_an_agent_keeps_its_memory_over_a_restart_of_everything(restarted: Restarted) -> None:
    assert await say(restarted.system, restarted.agent, "When is my flight?") == "Friday."
    given = restarted.model.given[-1]
    assert [item.get("type", item.get("role")) for item in given] == [
        "user",
        "reasoning",
        "function_call",
        "function_call_output",
        "message",
        "user",
    ]
    assert given[:4] == restarted.model.given[1]
    assert given[0]["content"] == f"{TOLD} How is it there?"
    assert given[3]["output"] == "sunny in Lisbon"
    assert given[4]["content"][0]["text"] == "Sunny."


def test_the_example_remembers_over_a_restart(restarted: Restarted) -> None:
    said = run_example(restarted.system, "When is my flight?")
    assert "the model is given 3 items" in said
    assert f"You told me: {TOLD}" in said
