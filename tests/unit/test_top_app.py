"""`turnlog top` in a terminal, driven as by a user: keys, sizes, replicas that come and go."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
from textual.widgets import Static

from scraped import view
from turnlog_cli.top.app import NAMES, TopApp
from turnlog_cli.top.view import Replica, View

SIZES = [(80, 24), (140, 45), (120, 30), (200, 60), (40, 10), (20, 5)]


class Looks:
    """Answers looks with what it is told to show; counts them."""

    def __init__(self, shown: View) -> None:
        self.shown = shown
        self.times = 0
        self.error: Exception | None = None

    async def look(self) -> View:
        self.times += 1
        if self.error:
            raise self.error
        return self.shown


def text(app: TopApp, name: str) -> str:
    return str(app.query_one(f"#{name}", Static).content)


async def until(condition: Callable[[], object], app_turn: Callable[[], object]) -> None:
    """Let the app run until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            await app_turn()  # type: ignore[misc]


@pytest.mark.parametrize("size", SIZES)
async def test_it_shows_every_part_at_every_size(size: tuple[int, int]) -> None:
    looks = Looks(view())
    app = TopApp(looks.look, 0.05, "test")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "eu" in text(app, "logs"), pilot.pause)
        for name in NAMES:
            assert text(app, name.lower()).strip(), name
        assert "turnlog top" in text(app, "head") or size[0] < 30
        assert app.failed is None


async def test_it_fits_a_terminal_of_eighty_columns_and_twenty_four_lines() -> None:
    app = TopApp(Looks(view()).look, 0.05, "test")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "main" in text(app, "logs"), pilot.pause)
        await pilot.pause()
        assert app.query_one("#parts").max_scroll_y == 0
        assert app.query_one("#parts").max_scroll_x == 0


async def test_q_ends_it() -> None:
    app = TopApp(Looks(view()).look, 0.05, "test")
    async with app.run_test() as pilot:
        await pilot.press("q")
        await until(lambda: not app.is_running, pilot.pause)
    assert app.return_code == 0


async def test_p_stands_still_and_goes_on() -> None:
    looks = Looks(view())
    app = TopApp(looks.look, 0.02, "test")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: "main" in text(app, "logs"), pilot.pause)
        await pilot.press("p")
        assert "PAUSED" in text(app, "head")
        looks.shown = dataclasses.replace(view(), logs=())
        seen = looks.times
        await until(lambda: looks.times > seen + 2, pilot.pause)
        assert "main" in text(app, "logs")
        await pilot.press("p")
        await until(lambda: "none known" in text(app, "logs"), pilot.pause)
        assert "every 0.02 s" in text(app, "head")


async def test_l_goes_on_to_the_next_log() -> None:
    app = TopApp(Looks(view()).look, 0.05, "test")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: "▁" in text(app, "logs"), pilot.pause)
        drawn = []
        for _ in range(3):
            lines = text(app, "logs").splitlines()
            drawn.append(next(lines[n - 1].split()[0] for n, line in enumerate(lines) if "▁" in line))
            await pilot.press("l")
        assert drawn == ["eu", "main", "eu"]


async def test_a_replica_that_goes_is_told_and_so_is_that_it_is_back() -> None:
    looks = Looks(view())
    app = TopApp(looks.look, 0.02, "test")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: "main" in text(app, "logs"), pilot.pause)
        notes = app.query_one("#notes")
        gone = Replica("http://127.0.0.1:8080", {}, "the connection is refused", 3.0)
        told = "127.0.0.1:8080 does not answer for 3.0 s: the connection is refused"
        looks.shown = dataclasses.replace(view(), replicas=(gone,), notes=(told,))
        await until(lambda: told in text(app, "notes"), pilot.pause)
        assert notes.display
        assert "away for 3.0 s" in text(app, "replicas")
        looks.shown = dataclasses.replace(view(), notes=())
        await until(lambda: "does not answer" not in text(app, "notes"), pilot.pause)
        assert not notes.display


async def test_more_troubles_than_there_is_room_for_are_counted() -> None:
    looks = Looks(dataclasses.replace(view(), notes=tuple(f"trouble {n}" for n in range(9))))
    app = TopApp(looks.look, 0.05, "test")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "and 5 more" in text(app, "notes"), pilot.pause)


async def test_it_follows_the_terminals_size() -> None:
    app = TopApp(Looks(view()).look, 0.05, "test")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "main" in text(app, "logs"), pilot.pause)
        assert "Requests" in text(app, "requests")
        await pilot.resize_terminal(140, 45)
        await until(lambda: "Requests" not in text(app, "requests"), pilot.pause)
        assert app.screen.has_class("roomy")
        await pilot.resize_terminal(80, 24)
        await until(lambda: "Requests" in text(app, "requests"), pilot.pause)


async def test_a_defect_ends_it_and_is_kept_for_the_caller() -> None:
    looks = Looks(view())
    looks.error = ZeroDivisionError("a defect")
    app = TopApp(looks.look, 0.05, "test")
    async with app.run_test() as pilot:
        await until(lambda: not app.is_running, pilot.pause)
    assert app.failed is looks.error
