"""What doctor makes of what it saw: what needs somebody, in words that say what it means and what to do."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from turnlog_cli.diagnosis import look_at_api
from turnlog_cli.diagnosis.findings import PAGE, Finding, Place, State, duration, not_reached, size
from turnlog_cli.diagnosis.judge_api import judge_keys, judge_metrics, judge_no_metrics, judge_ready
from turnlog_cli.diagnosis.judge_logs import (
    Followed,
    Leader,
    judge_compressor,
    judge_leaders,
    judge_no_stream,
    judge_read_models,
    judge_stream,
)
from turnlog_cli.diagnosis.judge_nats import NatsSeen, judge_nats
from turnlog_cli.diagnosis.judge_postgres import PostgresSeen, Slot, judge_postgres
from turnlog_cli.diagnosis.judge_redis import RedisSeen, judge_redis
from turnlog_cli.diagnosis.look_at_redis import seen_in
from turnlog_cli.top.scrape import samples_of
from turnlog_eventstore.administration import KeyRow

ROOT = Path(__file__).parents[2]
GIB = 1 << 30
GOOD: dict[str, Any] = {
    "version_num": 180006, "version": "18.6", "schema": "0003", "newest_schema": "0003", "in_recovery": False,
    "skew_s": 0.01, "connections": 12, "xid_age": 1_000, "database_bytes": 8 << 20,
    "settings": {"max_connections": "100", "superuser_reserved_connections": "3", "fsync": "on",
                 "synchronous_commit": "on", "full_page_writes": "on", "synchronous_standby_names": "",
                 "default_transaction_read_only": "off"},
}  # fmt: skip
POSTGRES = PostgresSeen(**GOOD)
REDIS = RedisSeen("Valkey", "9.1.2", "master", False, False, 1 << 20, 0, "noeviction", 0)
NATS = NatsSeen((2, 15, 1), 1 << 20, 0, -1, 1)
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state is not State.OK]


def setting(**changed: str) -> PostgresSeen:
    return replace(POSTGRES, settings=POSTGRES.settings | changed)


def test_what_is_well_is_one_line_each() -> None:
    for findings in (judge_postgres(POSTGRES), judge_redis(REDIS), judge_nats(NATS)):
        (only,) = findings
        assert only.state is State.OK
    assert "commits are durable" in judge_postgres(POSTGRES)[0].text


@pytest.mark.parametrize(
    ("seen", "state", "said", "means", "advice"),
    [
        (setting(fsync="off"), State.BAD, "fsync=off", "can be lost in a power cut", "alter system set fsync = on"),
        (setting(synchronous_commit="off", full_page_writes="off"), State.BAD,
         "synchronous_commit=off, full_page_writes=off", "can be lost", "pg_reload_conf"),
        (setting(synchronous_standby_names="*"), State.BAD, "no synchronous stand-by", "504", "stand-by back"),
        (setting(default_transaction_read_only="on"), State.BAD, "read_only is on", "503", "alter system reset"),
        (replace(POSTGRES, version_num=130009, version="13.9"), State.BAD, "older than 14", "leadership", "upgrade"),
        (replace(POSTGRES, in_recovery=True), State.BAD, "a stand-by", "refused with 503",
         "point TURNLOG_DATABASE_URL"),
        (replace(POSTGRES, skew_s=3.0), State.NOTE, "3.0 s behind PostgreSQL's", "Expiry", "NTP"),
        (replace(POSTGRES, skew_s=-90.0), State.BAD, "90 s ahead of PostgreSQL's", "Expiry", "NTP"),
        (replace(POSTGRES, schema=None), State.BAD, "schema none", "fail", "turnlog migrate"),
        (replace(POSTGRES, schema="0002"), State.BAD, "schema 0002, this release has 0003", "fail", "turnlog migrate"),
        (replace(POSTGRES, schema="0004"), State.NOTE, "newer than this release", "deployment",
         "finish the deployment"),
        (replace(POSTGRES, connections=80), State.NOTE, "80 of 97", "503", "TURNLOG_DATABASE_CONNECTIONS"),
        (replace(POSTGRES, connections=96), State.BAD, "96 of 97", "503", "raise max_connections"),
        (replace(POSTGRES, oldest_transaction_s=400.0, oldest_transaction="pid 7"), State.NOTE, "7 min (pid 7)",
         "VACUUM", "pg_terminate_backend"),
        (replace(POSTGRES, oldest_transaction_s=7_300.0), State.BAD, "for 2 h", "VACUUM", "pg_terminate_backend"),
        (replace(POSTGRES, prepared=1, oldest_prepared_s=10.0), State.NOTE, "1 prepared", "locks", "rollback prepared"),
        (replace(POSTGRES, prepared=1, oldest_prepared_s=1e4), State.BAD, "1 prepared", "locks", "rollback prepared"),
        (replace(POSTGRES, slots=(Slot("s1", False, 2 * GIB),)), State.NOTE, "s1; it keeps 2.0 GiB", "disk is full",
         "pg_drop_replication_slot('s1')"),
        (replace(POSTGRES, slots=(Slot("s1", False, 20 * GIB),)), State.BAD, "20 GiB", "refused",
         "drop_replication_slot"),
        (replace(POSTGRES, slots=(Slot("s1", False, 0, lost=True),)), State.BAD, "lost the WAL", "cannot catch up",
         "anew"),
        (replace(POSTGRES, xid_age=1_200_000_000), State.NOTE, "1,200,000,000", "no more writes", "vacuum freeze"),
        (replace(POSTGRES, xid_age=1_900_000_000), State.BAD, "1,900,000,000", "no more writes", "vacuum freeze"),
        (replace(POSTGRES, archive_failing=True), State.BAD, "archiving WAL fails", "piles up", "archive_command"),
    ],
)  # fmt: skip
def test_each_thing_of_postgres_is_told(seen: PostgresSeen, state: State, said: str, means: str, advice: str) -> None:
    (found,) = wrong(judge_postgres(seen))
    assert (found.state, said in found.text, means in found.means) == (state, True, True), found
    assert advice in found.advice


def test_slots_that_are_read_or_small_and_young_transactions_are_nothing() -> None:
    slots = (Slot("used", True, 30 * GIB), Slot("small", False, 1_000))
    assert wrong(judge_postgres(replace(POSTGRES, slots=slots, oldest_transaction_s=10.0))) == []


@pytest.mark.parametrize(
    ("seen", "state", "said"),
    [
        (replace(REDIS, version="7.0.1"), State.BAD, "older than 7.2"),
        (replace(REDIS, name="Redis", version="6.2.14"), State.BAD, "older than 7.0"),
        (replace(REDIS, role="slave"), State.BAD, "is a replica"),
        (replace(REDIS, loading=True), State.NOTE, "loading"),
        (replace(REDIS, cluster=True), State.NOTE, "Cluster"),
        (replace(REDIS, snapshot_failed=True), State.NOTE, "snapshot"),
        (replace(REDIS, maxmemory_bytes=GIB, policy="allkeys-lru", evicted_keys=7), State.BAD, "allkeys-lru, 7 keys"),
        (replace(REDIS, maxmemory_bytes=GIB, used_bytes=GIB - 1), State.BAD, "are in use"),
        (replace(REDIS, maxmemory_bytes=GIB, used_bytes=GIB - 1, policy="volatile-lru"), State.NOTE, "are in use"),
    ],
)
def test_each_thing_of_redis_is_told(seen: RedisSeen, state: State, said: str) -> None:
    (found,) = wrong(judge_redis(seen))
    assert (found.state, said in found.text) == (state, True), found


def test_an_eviction_policy_without_a_bound_evicts_nothing() -> None:
    assert wrong(judge_redis(replace(REDIS, policy="allkeys-lru"))) == []


def test_info_of_both_servers_is_read() -> None:
    info = {"redis_version": "7.2.4", "valkey_version": "9.1.2", "role": "slave", "loading": 1, "used_memory": 5}
    assert (seen_in(info).name, seen_in(info).version, seen_in(info).loading) == ("Valkey", "9.1.2", True)
    assert seen_in({"redis_version": "8.0.0", "rdb_last_bgsave_status": "err"}).snapshot_failed


@pytest.mark.parametrize(
    ("seen", "state", "said"),
    [
        (replace(NATS, version=(2, 9, 25)), State.BAD, "2.9.25 is older than 2.10"),
        (replace(NATS, max_payload_bytes=65_536), State.BAD, "max_payload is 64 KiB"),
        (replace(NATS, store_bytes=9 * GIB, store_limit_bytes=10 * GIB), State.NOTE, "9.0 GiB of the 10 GiB"),
    ],
)
def test_each_thing_of_nats_is_told(seen: NatsSeen, state: State, said: str) -> None:
    (found,) = wrong(judge_nats(seen))
    assert (found.state, said in found.text) == (state, True), found


def test_a_stream_is_level_behind_still_or_fenced() -> None:
    def judged(position: int, *, moves: bool = True, agrees: bool = True) -> Finding:
        return judge_stream(Followed("main", position, 10, moves, waits_s=4.0), "T_main", agrees=agrees)

    assert (judged(10).state, judged(10).facts["lag"]) == (State.OK, 0)
    assert judged(5).state is State.NOTE
    assert "at position 5 of 10, 5 behind, the oldest for 4.0 s" in judged(5).text
    assert judged(5).facts["lag_s"] == 4.0
    still = judged(5, moves=False)
    assert (still.state, "does not move" in still.text) == (State.BAD, True)
    for fenced in (judged(12), judged(10, agrees=False)):
        assert (fenced.state, fenced.facts["fenced"]) == (State.BAD, True)
        assert "`turnlog logs accept main`" in fenced.advice
        assert "503 `log_fenced`" in fenced.means
    assert (judge_no_stream("main", 0).state, judge_no_stream("main", 9).facts["fenced"]) == (State.NOTE, False)


def test_read_models_are_level_behind_still_incomplete_or_ahead() -> None:
    def judged(position: int, unready: int = 0, *, moves: bool = True) -> Finding:
        return judge_read_models(Followed("main", position, 10, moves), [1], 256, unready, [1])

    assert judged(10).state is State.OK
    assert judged(10, 3).state is State.NOTE
    assert "3 of 256 partitions are not complete" in judged(10, 3).text
    assert judged(5).state is State.NOTE
    assert judged(5, moves=False).state is State.BAD
    assert judged(11).state is State.BAD


def test_a_checkpoint_before_waiting_sessions_is_no_lag_and_one_ahead_is_wrong() -> None:
    assert judge_compressor(Followed("main", 3, 10)).state is State.OK
    assert judge_compressor(Followed("main", 10, 10)).state is State.OK
    assert judge_compressor(Followed("main", 11, 10)).state is State.BAD


def test_work_that_nobody_leads_is_told_by_log_and_role() -> None:
    leaders = [Leader(role, "main", True, 2) for role in ("relay", "projector", "compressor")]
    (well,) = judge_leaders(leaders)
    assert (well.state, well.facts["projector_replicas"]) == (State.OK, 2)
    (missing,) = judge_leaders([*leaders[:2], Leader("compressor", "main", False, 0)])
    assert (missing.state, missing.facts["role"]) == (State.BAD, "compressor")
    assert "No new summaries" in missing.means


def key(name: str, **more: Any) -> KeyRow:
    given: dict[str, Any] = {"expires_at": None, "revoked_at": None, "last_used_at": NOW} | more
    return KeyRow("k" * 12, "acme", ("read",), name, given.pop("created_at", NOW), **given)


def test_keys_that_expire_or_were_never_used_or_are_missing_are_told() -> None:
    def judged(*keys: KeyRow, required: bool = True) -> list[Finding]:
        return judge_keys(keys, NOW, "local", required=required)

    assert wrong(judged(key("a"))) == []
    (none,) = wrong(judged(key("local"), key("old", expires_at=NOW - timedelta(days=1))))
    assert "no live API key" in none.text
    (soon,) = wrong(judged(key("a", expires_at=NOW + timedelta(days=3))))
    assert "(acme: a) in 3 days" in soon.text
    (idle,) = wrong(judged(key("a", last_used_at=None, created_at=NOW - timedelta(days=40))))
    assert "never used in 30 days" in idle.text
    assert wrong(judged(required=False)) == []


def test_metrics_tell_of_a_breaker_limits_lags_and_refusals() -> None:
    text = """\
# TYPE llm_breaker_state gauge
llm_breaker_state{provider="openai"} 2
# TYPE llm_errors_total counter
llm_errors_total{provider="openai",kind="rate_limited"} 7
llm_errors_total{provider="other",kind="timeout"} 9
# TYPE turnlog_limits_redis_away gauge
turnlog_limits_redis_away 1
# TYPE turnlog_keys_unchecked gauge
turnlog_keys_unchecked 1
# TYPE turnlog_append_refused_total counter
turnlog_append_refused_total{log="main"} 3
# TYPE turnlog_follower_lag_seconds gauge
turnlog_follower_lag_seconds{log="main",consumer="projector"} 300
turnlog_follower_lag_seconds{log="main",consumer="streams"} 1
# TYPE turnlog_build_info gauge
turnlog_build_info{service="api",version="1.0"} 1
turnlog_build_info{service="query",version="1.1"} 1
"""
    found = wrong(judge_metrics("http://x", samples_of(text), "1.0"))
    told = {finding.subject: finding.text for finding in found}
    assert told == {
        "model": "openai is left alone after failures (rate_limited 7)",
        "limits": "are counted by each process alone, as Redis is away",
        "keys": "are taken as last known, as PostgreSQL is away",
        "read models": "main: 5 min late by its own account",
        "API": "3 writes were refused since it started, as too many waited",
        "releases": "services run 1.0, 1.1; this command is 1.0",
    }
    assert wrong(judge_metrics("http://x", samples_of("up 1\n"), "1.0")) == []
    assert judge_no_metrics("http://x", "404").state is State.NOTE


def test_readiness_is_told_with_what_is_away() -> None:
    assert judge_ready("http://x", 200, "ok", {"postgres": "ok"}).state is State.OK
    assert judge_ready("http://x", 200, "ok", {"postgres": "ok", "redis": "away"}).state is State.NOTE
    assert judge_ready("http://x", 503, "not ready", {"postgres": "away"}).state is State.BAD
    assert judge_ready("http://x", 503, "draining", {}).state is State.NOTE


def test_settings_that_are_wrong_or_want_a_second_look_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_MODEL_PROVIDER", "openai")
    monkeypatch.setenv("TURNLOG_MODEL_NAME", "m")
    (keyless,) = wrong(look_at_api.settings_here())
    assert "TURNLOG_MODEL_API_KEY is not set" in keyless.text
    monkeypatch.setenv("TURNLOG_MODEL_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("TURNLOG_HOST", "0.0.0.0")
    monkeypatch.setenv("TURNLOG_TENANT_HEADER", "x-tenant")
    (open_door,) = wrong(look_at_api.settings_here())
    assert open_door.text == "TURNLOG_AUTH=off on 0.0.0.0: x-tenant names the tenant"
    monkeypatch.setenv("TURNLOG_PORT", "x")
    assert [finding.state for finding in wrong(look_at_api.settings_here())] == [State.BAD]


@pytest.mark.parametrize(
    ("free", "state"), [(60 * GIB, State.OK), (4 * GIB, State.NOTE), (GIB // 2, State.BAD)]
)  # fmt: skip
async def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    monkeypatch.setattr(look_at_api.shutil, "disk_usage", lambda _: (100 * GIB, 100 * GIB - free, free))
    (found,) = await look_at_api.disk(tmp_path)
    assert (found.state, found.facts["free_bytes"]) == (state, free)
    assert await look_at_api.disk(tmp_path / "none") == []


def test_why_a_server_is_away_is_said_once() -> None:
    assert not_reached("NATS", "NATS cannot be reached") == "cannot be reached"
    assert not_reached("PostgreSQL", "PostgreSQL cannot be reached: no") == "cannot be reached: no"
    assert not_reached("Redis", TimeoutError()) == "cannot be reached: TimeoutError"


def test_durations_and_sizes_are_in_words() -> None:
    assert [duration(s) for s in (0.42, 12, 119, 130, 7_300, 200_000)] == [
        "0.4 s",
        "12 s",
        "119 s",
        "2 min",
        "2 h",
        "2 days",
    ]
    assert [size(b) for b in (10, 2048, 5 << 20, 3 << 40)] == ["10 bytes", "2.0 KiB", "5.0 MiB", "3.0 TiB"]


def test_every_place_to_read_more_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(get_args(Place)) <= anchors
