"""Both clients against a server that answers from a script: retries, deadlines, resumption."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from turnlog_client import ApiError, AsyncClient, Client, RateLimited, RetryPolicy, Unavailable

QUICK = RetryPolicy(total_s=5, first_s=0.01, last_s=0.02)
PLACED = {"turn_id": "t", "log": "main", "position": 3, "version": 2, "recorded_at": "now", "duplicate": False}
Step = Callable[[BaseHTTPRequestHandler], None]


def reply(status: int, body: object, **headers: str) -> Step:
    """Answer with this; bytes are sent as they are."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return step


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.close()


UNAVAILABLE = reply(503, {"error": {"code": "store_unavailable", "message": "nothing was stored"}}, retry_after="0")
UNKNOWN = reply(504, {"error": {"code": "outcome_unknown", "message": "may be stored"}})


class Script:
    """A server that answers one step a request, the last one for ever; `requests` are what it got."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.requests.append((self.command, self.path, headers, body))
                step = script.steps.pop(0) if len(script.steps) > 1 else script.steps[0]
                step(self)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

            def finish(self) -> None:
                if not self.connection._closed:  # type: ignore[attr-defined]
                    super().finish()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def script() -> Iterator[Script]:
    running = Script()
    yield running
    running.close()


def test_a_write_is_tried_again_with_the_same_turn_until_it_is_answered(script: Script) -> None:
    script.steps = [UNAVAILABLE, drop, UNKNOWN, reply(201, PLACED)]
    with Client(script.url, retry=QUICK) as client:
        placed = client.store("s 1", "user", "hello")
    assert (placed.position, placed.version) == (3, 2)
    assert len(script.requests) == 4
    assert len({body for _, _, _, body in script.requests}) == 1
    assert {path for _, path, _, _ in script.requests} == {"/v1/sessions/s%201/turns"}


async def test_the_async_client_does_the_same(script: Script) -> None:
    script.steps = [UNAVAILABLE, drop, UNKNOWN, reply(201, PLACED)]
    async with AsyncClient(script.url, retry=QUICK) as client:
        placed = await client.store("s", "user", "hello", if_version=1)
    assert placed.version == 2
    assert len({body for _, _, _, body in script.requests}) == 1
    assert {headers["if-match"] for _, _, headers, _ in script.requests} == {'"v1"'}


def test_a_refusal_is_not_tried_again(script: Script) -> None:
    script.steps = [reply(422, {"error": {"code": "missing_field", "message": "role: is required", "param": "role"}})]
    with Client(script.url, retry=QUICK) as client, pytest.raises(ApiError) as refused:
        client.store("s", "", "hello")
    assert refused.value.param == "role"
    assert len(script.requests) == 1


def test_a_server_that_stays_away_ends_in_unavailable_within_the_deadline(script: Script) -> None:
    script.steps = [UNKNOWN]
    policy = RetryPolicy(total_s=0.2, first_s=0.02, last_s=0.05)
    with Client(script.url, retry=policy) as client, pytest.raises(Unavailable) as away:
        client.turns("s")
    assert away.value.outcome_unknown
    assert len(script.requests) > 2
    with Client("http://127.0.0.1:1", retry=policy) as client, pytest.raises(Unavailable, match="cannot be reached"):
        client.turns("s")


def test_what_one_attempt_left_unknown_stays_unknown(script: Script) -> None:
    script.steps = [UNKNOWN, UNAVAILABLE]
    policy = RetryPolicy(total_s=0.2, first_s=0.02, last_s=0.05)
    with Client(script.url, retry=policy) as client, pytest.raises(Unavailable, match="nothing was stored") as away:
        client.store("s", "user", "hello")
    assert away.value.outcome_unknown


async def test_a_client_of_httpx_may_be_given_and_stays_its_owners(script: Script) -> None:
    page = {"sessions": [{"session_id": "s"}], "next_cursor": "more"}
    script.steps = [reply(200, page)]
    with httpx.Client(base_url=script.url, headers={"x-mine": "1"}) as http:
        with Client(script.url, http=http) as client:
            assert client.session_page(agent_id="a", limit=1) == page
        assert not http.is_closed
    async with httpx.AsyncClient(base_url=script.url, headers={"x-mine": "1"}) as http_async:
        async with AsyncClient(script.url, http=http_async) as client_async:
            assert await client_async.session_page(cursor="more") == page
        assert not http_async.is_closed
    paths = [path for _, path, headers, _ in script.requests if headers["x-mine"] == "1"]
    assert paths == ["/v1/sessions?limit=1&agent_id=a", "/v1/sessions?cursor=more"]


def limited(seconds: int) -> Step:
    return reply(429, {"error": {"code": "rate_limited", "message": "too many calls"}}, retry_after=str(seconds))


def test_a_limit_is_waited_for_within_the_deadline(script: Script) -> None:
    script.steps = [limited(1), reply(200, {"turns": []})]
    began = time.monotonic()
    with Client(script.url, retry=QUICK) as client:
        client.turns("s")
    assert 1.0 <= time.monotonic() - began < 4.0
    script.steps = [limited(60)]
    with Client(script.url, retry=QUICK) as client, pytest.raises(RateLimited) as refused:
        client.turns("s")
    assert refused.value.retry_after_s == 60
    assert len(script.requests) == 3


def test_no_attempt_outlasts_the_deadline(script: Script) -> None:
    asked = threading.Event()
    script.steps = [lambda handler: asked.wait(20) and None]
    began = time.monotonic()
    policy = RetryPolicy(total_s=0.4, first_s=0.01, last_s=0.02)
    with Client(script.url, retry=policy, timeout_s=15) as client, pytest.raises(Unavailable) as away:
        client.store("s", "user", "hello")
    asked.set()
    assert time.monotonic() - began < 5
    assert away.value.outcome_unknown


def test_a_read_after_a_load_asks_for_what_was_loaded(script: Script) -> None:
    stored = [{"status": "stored", "turn_id": "a", "position": n, "version": n} for n in (4, 5)]
    script.steps = [reply(200, b"\n".join(json.dumps(x).encode() for x in stored)), reply(200, {"turns": []})]
    with Client(script.url, retry=QUICK) as client:
        list(client.load([{"session_id": "s", "role": "user", "content": "x"}] * 2))
        client.turns("s")
    assert "min_version=5" in script.requests[1][1]


def test_a_load_sends_only_the_failed_lines_again(script: Script) -> None:
    stored = {"status": "stored", "turn_id": "a", "position": 1, "version": 1}
    failed = {"status": "failed", "error": {"code": "not_tried", "message": "an earlier line failed"}}
    first = b"\n".join(json.dumps(x).encode() for x in (stored, failed))
    script.steps = [reply(200, first), reply(200, json.dumps(stored).encode() + b"\n")]
    lines = [b'{"session_id":"s","n":1}', b'{"session_id":"s","n":2}']
    with Client(script.url, retry=QUICK) as client:
        results = list(client.load(lines))
    assert [(r.line, r.status) for r in results] == [(1, "stored"), (2, "stored")]
    assert [body for _, _, _, body in script.requests] == [b"\n".join(lines) + b"\n", lines[1] + b"\n"]


def test_pages_are_followed_to_the_end(script: Script) -> None:
    script.steps = [
        reply(200, {"events": [{"position": 1}, {"position": 4}], "next_after": 4}),
        reply(200, {"events": [{"position": 9}], "next_after": None}),
    ]
    with Client(script.url, retry=QUICK) as client:
        assert [event["position"] for event in client.log_events("main")] == [1, 4, 9]
    assert "after=4" in script.requests[1][1]


def sse(*ids: int) -> Step:
    events = "".join(f'id: {i}\nevent: turn\ndata: {{"version":{i}}}\n\n' for i in ids)
    return reply(200, ("retry: 1000\n\n" + events).encode(), content_type="text/event-stream")


def test_live_events_are_resumed_from_the_last_id(script: Script) -> None:
    script.steps = [sse(1, 2), drop, UNAVAILABLE, sse(3), sse(4)]
    with Client(script.url, retry=QUICK) as client:
        events = client.events("s")
        assert [next(events).id for _ in range(4)] == [1, 2, 3, 4]
        events.close()  # type: ignore[attr-defined]
    assert [headers["last-event-id"] for _, _, headers, _ in script.requests] == ["0", "2", "2", "2", "3"]


async def test_the_async_client_resumes_too(script: Script) -> None:
    script.steps = [sse(1, 2), drop, sse(3)]
    async with AsyncClient(script.url, retry=QUICK) as client:
        events = client.events("s")
        assert [(await anext(events)).id for _ in range(3)] == [1, 2, 3]
        await events.aclose()  # type: ignore[attr-defined]


def test_waiting_for_a_compression_ends_with_the_task(script: Script) -> None:
    script.steps = [
        reply(202, {"task_id": "k"}),
        reply(200, {"task_id": "k", "state": "queued"}),
        reply(200, {"task_id": "k", "state": "done", "summary": {"to_version": 4}}),
    ]
    with Client(script.url, retry=QUICK) as client:
        assert client.compress("s", wait=True)["state"] == "done"
    assert script.requests[0][2]["idempotency-key"]
