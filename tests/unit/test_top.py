"""`turnlog top`, the pure part: two real scrapes of a running system → rates → what is shown.

The scrapes (`tests/data/metrics-*.txt`) are of `turnlog up` with two logs and a model that failed in between, 10 s apart.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from turnlog_cli.top import numbers
from turnlog_cli.top.change import Change, grown, quantile_of
from turnlog_cli.top.history import KEPT, History, sparkline
from turnlog_cli.top.notes import notes_of
from turnlog_cli.top.scrape import Snapshot, Source, samples_of
from turnlog_cli.top.shown import Room, labelled, parts_of
from turnlog_cli.top.view import Server, Session, Sessions, Stores, View
from turnlog_cli.top.viewing import status_class, view_of

DATA = Path(__file__).parents[1] / "data"
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


def lines(of: View, room: Room = Room(), chosen: str = "", history: History | None = None) -> list[str]:
    return [line.plain for part in parts_of(of, room, chosen, history) for line in labelled(part)]


def test_rates_are_what_counters_grew_in_the_time_between() -> None:
    shown = view()
    for log in ("main", "eu"):
        sample = f'memory_turns_stored_total{{log="{log}"}}'
        assert value("after", sample) > value("before", sample) > 0
        assert changed().rate("memory_turns_stored_total", log=log) * PASSED_S == pytest.approx(
            value("after", sample) - value("before", sample)
        )
    assert shown.writes.turns == pytest.approx(changed().rate("memory_turns_stored_total"))
    assert sum(shown.requests.by_status.values()) == pytest.approx(shown.requests.rate)
    assert shown.requests.rate > shown.writes.turns > 0


def test_the_first_look_has_gauges_and_no_rates() -> None:
    first = Snapshot(100, (scraped("before", 100),))
    shown = view_of(Change(first, first), NOON, {}, Stores())
    assert (shown.passed_s, shown.requests.rate, shown.writes.turns) == (0, 0, 0)
    assert [log.position for log in shown.logs] == [
        value("before", f'turnlog_log_position{{log="{log}"}}') for log in ("eu", "main")
    ]


def test_each_log_has_its_position_lags_and_leaders() -> None:
    eu, main = view().logs
    assert (eu.log, main.log) == ("eu", "main")
    for log in (eu, main):
        assert log.led == {"relay": True, "projector": True, "compressor": True}
        assert set(log.lags) == {"relay", "projector", "compressor", "streams"}
        assert log.lags["projector"].events == value(
            "after", f'turnlog_follower_lag_events{{consumer="projector",log="{log.log}"}}'
        )
        assert log.events > 0


def test_the_model_that_failed_is_told_with_its_breaker_tokens_and_cost() -> None:
    (provider,) = view().summaries.providers
    assert provider.name == "openai"
    assert provider.breaker in ("closed", "half-open", "open")
    assert provider.errors
    assert provider.dollars_per_hour is not None
    assert any("openai fails" in note for note in view().notes)


def test_a_replica_that_is_new_counts_from_the_next_look_on() -> None:
    new = scraped("after", 110, "http://10.0.0.9:9464")
    assert view(scraped("after", 110), new).writes.turns == view().writes.turns
    assert len(view(scraped("after", 110), new).replicas) == 2


def test_a_replica_that_does_not_answer_is_told_in_words_and_the_rest_goes_on() -> None:
    gone = Source("http://10.0.0.9:9464", 110, away="the connection is refused")
    shown = view(scraped("after", 110), gone, away_s=12)
    assert shown.notes[0] == "10.0.0.9:9464 does not answer for 12 s: the connection is refused"
    assert shown.writes.turns > 0
    assert any("away for 12 s: the connection is refused" in line for line in lines(shown))


def test_when_nothing_answers_nothing_is_guessed() -> None:
    shown = view(Source(API, 110, away="no answer within 3 s"), away_s=3)
    assert list(shown.notes) == ["127.0.0.1:8080 does not answer for 3.0 s: no answer within 3 s"]
    assert (shown.logs, shown.writes.turns) == ((), 0)
    assert lines(shown)


@pytest.mark.parametrize(
    ("pattern", "replacement", "note"),
    [
        (
            r'^turnlog_leader{log="main",role="compressor"} 1.0$',
            'turnlog_leader{log="main",role="compressor"} 0.0',
            "nobody leads the compressor of log main",
        ),
        (r'^turnlog_leader{log="eu",role="relay"} .*$', "", "nobody leads the relay of log eu"),
        (
            r'^turnlog_log_fenced{log="main"} 0.0$',
            'turnlog_log_fenced{log="main"} 1.0',
            "log main is fenced, writes to it are refused: JetStream knows events that PostgreSQL does not",
        ),
        (
            r'^(turnlog_follower_lag_seconds{consumer="projector",log="main"}) .*$',
            r"\1 95.0",
            "the projector of log main is 95 s behind (0 events)",
        ),
        (
            r'^(turnlog_append_queued_events{log="main"}) .*$',
            r"\1 12345.0",
            "12.3k events wait for a commit in log main",
        ),
        (
            r"^turnlog_append_refused_total .*$",
            "turnlog_append_refused_total 20.0",
            "2.0/s writes are refused: the queue is full",
        ),
        (
            r"^turnlog_limits_redis_away .*$",
            "turnlog_limits_redis_away 1.0",
            "limits are counted by each process alone: Redis is away",
        ),
        (
            r"^turnlog_keys_unchecked .*$",
            "turnlog_keys_unchecked 1.0",
            "API keys are taken as last known: PostgreSQL is away",
        ),
        (
            r'^(llm_breaker_state{provider="openai"}) .*$',
            r"\1 2.0",
            "the breaker of openai is open: summaries are extractive meanwhile",
        ),
        (
            r'^(turnlog_projector_partitions_unreadable{log="eu"}) .*$',
            r"\1 7.0",
            "7 partitions of log eu are read from PostgreSQL while replayed",
        ),
    ],
)
def test_each_trouble_has_its_words(pattern: str, replacement: str, note: str) -> None:
    assert note in view(scraped("after", 110, change=[(pattern, replacement)])).notes
    assert note not in view().notes


def test_a_server_that_is_away_is_noted() -> None:
    stores = Stores((Server("NATS", away="no answer within 3 s"),))
    assert "NATS is away: no answer within 3 s" in view(stores=stores).notes


@pytest.mark.parametrize(("before", "now", "much"), [(5, 12, 7), (5, 5, 0), (500, 12, 12)])
def test_a_counter_that_is_lower_began_anew(before: float, now: float, much: float) -> None:
    assert grown(before, now) == much


def test_quantiles_are_prometheus_own() -> None:
    inf = float("inf")
    assert quantile_of(0.5, [(1, 0), (2, 10), (inf, 10)]) == 1.5
    assert quantile_of(0.99, [(1, 50), (2, 100), (inf, 100)]) == pytest.approx(1.98)
    assert quantile_of(0.99, [(1, 50), (2, 60), (inf, 100)]) == 2, "beyond all bounds: the highest"
    assert quantile_of(0.5, [(1, 0), (inf, 0)]) is None
    assert quantile_of(0.5, []) is None


def test_histograms_of_several_replicas_are_one() -> None:
    both = changed(scraped("after", 110))
    assert both.quantile(0.5, "requests_latency_seconds") is not None
    assert both.quantile(0.5, "requests_latency_seconds", route="/nowhere") is None
    store = view().writes
    assert store.store_p50_s is not None
    assert store.store_p99_s is not None
    assert 0 < store.store_p50_s <= store.store_p99_s


def test_statuses_are_told_by_class_and_429_by_itself() -> None:
    assert [status_class(s) for s in ("200", "304", "404", "429", "503", "5xx")] == [
        "2xx",
        "3xx",
        "4xx",
        "429",
        "5xx",
        "5xx",
    ]


def test_what_is_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError):
        samples_of("<html>not here</html>")


def test_all_parts_fit_into_eighty_columns() -> None:
    history = History()
    for _ in range(KEPT):
        history.note(view())
    shown = lines(view(), Room(80), "main", history)
    assert [line for line in shown if len(line.rstrip()) > 80] == []
    names = [line.split()[0] for line in shown if line[0] != " "]
    assert names[:5] == ["Requests", "Writes", "Reads", "Summaries", "openai"] or names[:4] == [
        "Requests",
        "Writes",
        "Reads",
        "Summaries",
    ]


def test_the_history_of_the_chosen_log_is_drawn_below_it() -> None:
    history = History()
    for _ in range(3):
        history.note(view())
    for chosen in ("eu", "main"):
        shown = lines(view(), Room(80), chosen, history)
        (at,) = (index for index, line in enumerate(shown) if line.split()[:1] == [chosen])
        assert "▁" in shown[at + 1]


def test_many_logs_are_shown_a_page_at_a_time() -> None:
    more = "".join(f'turnlog_log_position{{log="l{n:02}"}} {n}.0\n' for n in range(20))
    shown = view(Source(API, 110, samples_of(text("after") + more)))
    page = lines(shown, Room(80, logs=3), "l10")
    assert any(line.startswith("l10 ") for line in page)
    assert any("19 more: l goes on to the next" in line for line in page)
    assert len(shown.logs) == 22


def test_ids_from_outside_cannot_drive_a_terminal() -> None:
    hostile = Session("red \x1b[31m\u202ex", "acme\n", "main", 3, 4)
    shown = lines(view(stores=Stores((), Sessions(1, False, 1, False, (hostile, hostile)))))
    assert any("red \\x1b[31m\\u202ex" in line for line in shown)
    assert all(line.isprintable() for line in shown)


def test_bars_reach_from_zero_to_the_largest() -> None:
    assert sparkline([0, 1, 4, 8], 4) == "▁▂▅█"
    assert sparkline([0, 0], 4) == "  ▁▁"
    assert sparkline([1, None, 1], 3) == "█ █"
    assert sparkline([1, 2, 3], 2) == "▆█"
    assert sparkline([], 3) == "   "
    assert sparkline([0.001, 1000], 2) == "▂█", "what moves is never drawn as nothing"


def test_numbers_take_few_columns_and_never_hide_what_moves() -> None:
    counts = {0: "0", 9_999: "9,999", 12_345: "12.3k", 8_900_000: "8.9M", 2_500_000_000: "2.5G"}
    assert {value: numbers.count(value) for value in counts} == counts
    rates = {0.0: "0/s", 0.001: "<0.01/s", 0.05: "0.05/s", 0.3: "0.3/s", 9.96: "10/s", 1_234.4: "1,234/s"}
    assert {value: numbers.rate(value) for value in rates} == rates
    times = {
        0.0: "0 s",
        0.0004: "0.4 ms",
        0.00996: "10 ms",
        0.25: "250 ms",
        0.9996: "1.0 s",
        12.0: "12 s",
        300.0: "5 min",
        7_200.0: "2.0 h",
    }
    assert {value: numbers.seconds(value) for value in times} == times
    sizes = {512: "512 B", 1_234: "1.2 kB", 99_700: "100 kB", 1_500_000: "1.5 MB", 3e12: "3.0 TB"}
    assert {value: numbers.size(value) for value in sizes} == sizes
    parts = {0.0: "0 %", 0.0001: "0.1 %", 0.5: "50.0 %", 0.99999: "99.9 %", 1.0: "100 %"}
    assert {value: numbers.percent(value) for value in parts} == parts
    assert {numbers.count(None), numbers.seconds(None), numbers.percent(None)} == {"–"}


def test_notes_come_with_the_worst_first() -> None:
    gone = Source("http://10.0.0.9:9464", 110, away="the connection is refused")
    fenced = scraped("after", 110, change=[(r'^(turnlog_log_fenced{log="main"}) .*$', r"\1 1.0")])
    notes = list(notes_of(view(fenced, gone)))
    assert "does not answer" in notes[0]
    assert "fenced" in notes[1]
