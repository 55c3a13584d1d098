"""What a scenario is, and which there are."""

from importlib import import_module
from typing import Protocol

from faults.steps.ground import Ground

SCENARIOS: dict[str, str] = {
    "append": "faults.steps.appending:Appending",
    "relay, new stream": "faults.steps.relaying:NewStream",
    "relay, lost tail": "faults.steps.relaying:LostTail",
    "project, empty": "faults.steps.projections:Empty",
    "project, replay": "faults.steps.projections:Replay",
    "project, from NATS": "faults.steps.projections:FromBus",
    "compress": "faults.steps.compressing:Compressing",
    "compress, retracted": "faults.steps.compressing:Retracted",
    "rebuild": "faults.steps.rebuilds:Rebuilding",
    "rebuild, roll back": "faults.steps.rebuilds:RolledBack",
    "rebuild, live": "faults.steps.rebuilds:RebuildingLive",
}
"""Name → where its class stands."""


class Scenario(Protocol):
    """One operation of the system. Everything in it is derived from the ground, so that a process that knows nothing
    of an earlier one does the same."""

    async def prepare(self, ground: Ground) -> None:
        """What stands before; the log is there and empty. No crash points."""

    async def operate(self, ground: Ground) -> None:
        """The operation; done again after a crash it must come to the same end. Its awaits are the crash points."""

    async def after_crash(self, ground: Ground) -> list[str]:
        """What is wrong before anything was started again: empty when nothing is."""

    async def at_end(self, ground: Ground) -> list[str]:
        """What is wrong after `operate` came to its end: empty when nothing is."""


def scenario(name: str) -> Scenario:
    """By its name among `SCENARIOS`, or by `module:Class`."""
    module, _, made = SCENARIOS.get(name, name).partition(":")
    found: Scenario = getattr(import_module(module), made)()
    return found
