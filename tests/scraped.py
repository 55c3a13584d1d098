"""Two real scrapes of a running system, for the tests of `turnlog top`.

`data/metrics-before.txt` and `-after.txt` are of `turnlog up` with two logs, 10 s apart; in between a model failed.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from turnlog_cli.top.change import Change
from turnlog_cli.top.scrape import Snapshot, Source, samples_of
from turnlog_cli.top.view import Stores, View
from turnlog_cli.top.viewing import view_of

DATA = Path(__file__).parent / "data"
API = "http://127.0.0.1:8080"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
PASSED_S = 10.0


def text(name: str) -> str:
    return (DATA / f"metrics-{name}.txt").read_text()


def scraped(name: str, at_s: float, url: str = API, change: Iterable[tuple[str, str]] = ()) -> Source:
    """A source that answered one of the scrapes, with some of its text replaced."""
    answer = text(name)
    for pattern, replacement in change:
        answer, times = re.subn(pattern, replacement, answer, flags=re.MULTILINE)
        assert times, pattern
    return Source(url, at_s, samples_of(answer))


def value(name: str, sample: str) -> float:
    """A sample's value as it stands in the text."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text(name), re.MULTILINE)
    return float(found[1]) if found else 0.0


def changed(*after: Source) -> Change:
    """From the first scrape to these, or to the second."""
    now = after or (scraped("after", 100 + PASSED_S),)
    return Change(Snapshot(100, (scraped("before", 100),)), Snapshot(100 + PASSED_S, now))


def view(*after: Source, stores: Stores = Stores(), away_s: float = 0) -> View:
    change = changed(*after)
    return view_of(change, NOON, {source.url: away_s for source in change.now.sources if source.away}, stores)
