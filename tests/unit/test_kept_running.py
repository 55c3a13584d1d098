"""A log's worker that fails is begun again, after a pause that grows only while it fails soon."""

import asyncio
import importlib

import pytest

from turnlog_eventstore import kept_running

module = importlib.import_module("turnlog_eventstore.each_log")


@pytest.mark.parametrize(("lasts_s", "grows"), [(0.0, True), (0.03, False)])
async def test_the_pause_grows_only_while_failures_follow_each_other(
    monkeypatch: pytest.MonkeyPatch, lasts_s: float, grows: bool
) -> None:
    monkeypatch.setattr(module, "AGAIN_MAX_S", 0.02)
    monkeypatch.setattr(module, "AGAIN_S", 0.001)
    pauses: list[float] = []

    async def passed(_: asyncio.Event, seconds: float) -> bool:
        pauses.append(seconds)
        return False

    monkeypatch.setattr(module, "passed", passed)
    monkeypatch.setattr(module.random, "uniform", lambda low, high: high)
    left = 4

    async def run(_: str) -> None:
        nonlocal left
        left -= 1
        if left:
            await asyncio.sleep(lasts_s)
            raise RuntimeError("again")

    await kept_running("main", run, asyncio.Event())
    assert pauses == ([0.001, 0.002, 0.004] if grows else [0.001] * 3)
