"""Of two comparisons at once the one begun later counts, whichever ends first."""

import asyncio
from typing import Any

import pytest

from turnlog_bus import StreamName
from turnlog_eventstore import LogHead
from turnlog_follow import fence
from turnlog_follow.fence import Comparison, Fence, FenceWatch

STREAM = StreamName("main", "f" * 32)


def found(difference: str | None) -> Comparison:
    return Comparison(STREAM, 1, LogHead("main", "f" * 32, 1, bytes(32)), bytes(32), difference)


@pytest.mark.parametrize(("older", "newer"), [(None, "ahead"), ("ahead", None)])
@pytest.mark.parametrize("first", [0, 1])
async def test_the_comparison_begun_later_counts(
    monkeypatch: pytest.MonkeyPatch, older: str | None, newer: str | None, first: int
) -> None:
    answers: list[asyncio.Future[Comparison]] = []

    async def compare(*_: Any) -> Comparison:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    monkeypatch.setattr(fence, "compare", compare)
    watch = FenceWatch(None, None, "main", Fence("order"))  # type: ignore[arg-type]
    looks = [asyncio.create_task(watch.look()) for _ in range(2)]
    await asyncio.sleep(0)
    for number in (first, 1 - first):
        answers[number].set_result(found((older, newer)[number]))
        await looks[number]
    assert watch.fence.reason == newer
