"""The gateway: real nginx on the files of deploy/nginx, before replicas that answer, break off, or are not there."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import cast

import httpx
import pytest
import yaml

from gateway_run import ROOT, SHIPPED, Gateway, checked, free_port, gateway, laid, upstreams
from stand_ins import Manner, StandIn, standing_in
from turnlog_access.route_scopes import ROUTES
from turnlog_cli.compose import document_of
from turnlog_eventstore import Store
from turnlog_ingest.app import create_app as create_writes
from turnlog_ingest.writes import Writes
from turnlog_query.app import create_app as create_reads
from turnlog_query.deps import QueryDeps
from turnlog_query.hub import LiveHub
from turnlog_query.logs import Hubs

TURNS = "/v1/sessions/s/turns"
PARTS = ("ingest", "query", "mcp")


class Front:
    """A gateway before two replicas of each part: the first as asked for, the second answering."""

    def __init__(self, first: Manner) -> None:
        self.replicas = {part: [StandIn(f"{part}1", first), StandIn(f"{part}2", Manner.ANSWERS)] for part in PARTS}

    def seen(self, part: str) -> int:
        """How many requests the replicas of a part saw."""
        return sum(len(replica.seen) for replica in self.replicas[part])


async def _calls(front: Front, folder: Path, *calls: tuple[str, str]) -> tuple[list[httpx.Response], Gateway]:
    everyone = [replica for part in front.replicas.values() for replica in part]
    async with standing_in(*everyone):
        ports = {part: [replica.port for replica in replicas] for part, replicas in front.replicas.items()}
        with gateway(folder, ports) as running:
            async with httpx.AsyncClient(base_url=running.url, timeout=20) as client:
                answers = [
                    await client.request(method, path, content=b"{}" if method == "POST" else None)
                    for method, path in calls
                ]
    return answers, running


def test_nginx_takes_the_files(tmp_path: Path) -> None:
    said = checked(laid(tmp_path, upstreams({part: [] for part in PARTS}), free_port()))
    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr


def test_nginx_takes_the_shipped_upstreams(tmp_path: Path) -> None:
    """Debian's nginx is older than `resolve` (1.27.3), and has no such names: both are taken out, the rest stays."""
    shipped = (SHIPPED / "upstreams.conf").read_text()
    known = re.sub(r"server (\w+):8080 resolve ", "server 127.0.0.1:8080 ", shipped)
    assert known.count("127.0.0.1:8080") == 3
    said = checked(laid(tmp_path, known, free_port()))
    assert said.returncode == 0, said.stderr
    assert re.search(r"^\s*listen 8080;", (SHIPPED / "listen.conf").read_text(), re.MULTILINE)


def test_an_idle_connection_is_left_before_a_leaving_replica_closes_it() -> None:
    kept = re.findall(r"keepalive_timeout (\d+)s;", (SHIPPED / "upstreams.conf").read_text())
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
    drains = [float(compose["services"][part]["environment"]["TURNLOG_DRAIN_S"]) for part in PARTS]
    assert len(kept) == 3
    assert max(map(float, kept)) < min(drains)


async def test_a_body_that_finds_no_room_is_refused_in_words(tmp_path: Path) -> None:
    async with standing_in(*(replicas := [StandIn(part, Manner.ANSWERS) for part in PARTS])):
        with gateway(tmp_path, {replica.name: [replica.port] for replica in replicas}) as running:
            shutil.rmtree(tmp_path / "nginx-client-body")
            async with httpx.AsyncClient(base_url=running.url, timeout=20) as client:
                answer = await client.post(TURNS, content=b" " * 200_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "outcome_unknown")
    assert not any(replica.seen for replica in replicas)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_write_that_was_sent_is_not_sent_again(method: str, tmp_path: Path) -> None:
    front = Front(Manner.CUTS)
    front.replicas["ingest"][1].manner = Manner.CUTS
    [answer], _ = await _calls(front, tmp_path, (method, TURNS))
    assert front.seen("ingest") == 1
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "outcome_unknown")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_write_passes_over_a_replica_that_is_not_there(tmp_path: Path) -> None:
    front = Front(Manner.ANSWERS)
    everyone = [replica for part in front.replicas.values() for replica in part]
    async with standing_in(*everyone):
        ports = {part: [free_port(), replicas[0].port] for part, replicas in front.replicas.items()}
        with gateway(tmp_path, ports) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                answers = [await client.post(TURNS, json={}) for _ in range(4)]
    assert [answer.text for answer in answers] == ["ingest1"] * 4


@pytest.mark.parametrize("manner", [Manner.CUTS, Manner.LEAVES])
@pytest.mark.parametrize("call", [("GET", TURNS), ("POST", "/tools/get_recent_turns"), ("GET", "/readyz")], ids=str)
async def test_a_read_is_asked_elsewhere(call: tuple[str, str], manner: Manner, tmp_path: Path) -> None:
    answers, _ = await _calls(Front(manner), tmp_path, call, call)
    assert {answer.text for answer in answers} == {"query2"}


def test_a_read_that_nobody_answers_is_503(tmp_path: Path) -> None:
    with gateway(tmp_path, {part: [] for part in PARTS}) as running:
        answer = httpx.get(running.url + TURNS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_exceeded")


async def test_live_events_come_as_they_are_sent(tmp_path: Path) -> None:
    front = Front(Manner.STREAMS)
    async with standing_in(front.replicas["query"][0]):
        with gateway(tmp_path, {"ingest": [], "query": [front.replicas["query"][0].port], "mcp": []}) as running:
            async with (
                asyncio.timeout(5),
                httpx.AsyncClient(base_url=running.url) as client,
                client.stream("GET", "/v1/sessions/s/events") as stream,
            ):
                assert "event: turn" in await anext(aiter(stream.aiter_text()))


async def test_a_log_line_tells_of_a_request_and_holds_no_query(tmp_path: Path) -> None:
    front = Front(Manner.CUTS)
    calls = [("GET", TURNS + "?api_key=secret"), ("POST", TURNS + "?api_key=secret")]
    _, running = await _calls(front, tmp_path, *calls)
    lines = [json.loads(line) for line in running.access_log.splitlines()]
    lines = [line for line in lines if line["path"] == TURNS]
    assert [line["method"] for line in lines] == ["GET", "POST"]
    ids = {headers["x-request-id"] for part in front.replicas.values() for one in part for _, headers in one.seen}
    assert {line["request_id"] for line in lines} == ids
    assert "secret" not in running.access_log + running.error_log


async def test_a_request_id_of_the_client_is_kept(tmp_path: Path) -> None:
    front = Front(Manner.ANSWERS)
    async with standing_in(*front.replicas["query"]):
        with gateway(tmp_path, {"ingest": [], "query": [front.replicas["query"][0].port], "mcp": []}) as running:
            async with httpx.AsyncClient(base_url=running.url) as client:
                for asked in ("mine-1", "x" * 200):
                    await client.get(TURNS, headers={"x-request-id": asked})
    first, second = (headers["x-request-id"] for _, headers in front.replicas["query"][0].seen)
    assert first == "mine-1"
    assert re.fullmatch("[0-9a-f]{32}", second)


async def test_metrics_are_not_for_the_outside(tmp_path: Path) -> None:
    front = Front(Manner.ANSWERS)
    [answer], _ = await _calls(front, tmp_path, ("GET", "/metrics"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")
    assert sum(map(front.seen, PARTS)) == 0


def test_a_body_too_large_for_any_call_ends_at_the_gateway(tmp_path: Path) -> None:
    with gateway(tmp_path, {part: [] for part in PARTS}) as running:
        answer = httpx.post(running.url + "/v1/turns", content=b"x" * (18 << 20))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_what_the_gateway_says_stands_in_the_table_of_errors() -> None:
    text = (SHIPPED / "problems.conf").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| (\d+)[ ,]", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    said = re.findall(r"return (\d+) '(\{.*?\})';", text)
    assert len(said) == 8
    for status, body in said:
        problem = json.loads(body)
        assert table[problem["error"]["code"]] == status == str(problem["status"])


@pytest.fixture(scope="module")
async def offered() -> dict[tuple[str, str], set[str]]:
    """Which services offer each call of the API."""

    def no_hub(log: str) -> LiveHub:
        raise AssertionError(log)

    nothing = cast("Store", None)
    apps = {
        "ingest": create_writes(cast("Writes", None), 8 << 20, 16 << 20),
        "query": create_reads(QueryDeps(nothing, None, Hubs(no_hub))),
    }
    found: dict[tuple[str, str], set[str]] = {}
    for part, app in apps.items():
        for path, item in (await document_of(app))["paths"].items():
            for method in item:
                found.setdefault((method.upper(), re.sub(r"\{.*?\}", "{}", path)), set()).add(part)
    return found


async def test_every_call_goes_to_a_service_that_offers_it(
    offered: dict[tuple[str, str], set[str]], tmp_path: Path
) -> None:
    front = Front(Manner.ANSWERS)
    calls = list(ROUTES)
    answers, _ = await _calls(front, tmp_path, *((method, path.replace("{}", "x")) for method, path in calls))
    for call, answer in zip(calls, answers, strict=True):
        part = answer.text.rstrip("12")
        assert part in offered.get(call, {"mcp"} if call[1].startswith("/mcp") else set()), call
