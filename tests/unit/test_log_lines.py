"""What is logged of an error: its kind and where it came from, never what it says."""

import asyncio
import json
import logging
import sys
from io import StringIO
from typing import Any

import pytest
import structlog

from turnlog_eventstore import StoreUnavailable
from turnlog_runtime.asgi import App, Edge, Scope, respond
from turnlog_runtime.counting import Counted
from turnlog_runtime.lifecycle import _unheard
from turnlog_runtime.log_context import note
from turnlog_runtime.logs import configure_logging, name_exception, said_by

SECRET = "my secret content"


def raised() -> BaseException:
    try:
        try:
            raise ValueError(SECRET)
        except ValueError as cause:
            raise ExceptionGroup(SECRET, [KeyError(SECRET), TypeError(SECRET)]) from cause
    except ExceptionGroup as error:
        return error


def test_an_exception_is_named_with_its_causes_and_parts_and_places() -> None:
    error = raised()
    line = name_exception(None, "", {"event": "failed", "exc_info": error})
    assert SECRET not in json.dumps(line)
    kinds = [entry.split(" < ")[0] for entry in line["exception"]]
    assert kinds == ["ExceptionGroup", "KeyError", "TypeError", "ValueError"]
    assert "test_log_lines.py" in line["exception"][0]
    assert " raised" in line["exception"][0]


def test_a_line_without_an_exception_stays_as_it_is() -> None:
    assert name_exception(None, "", {"event": "fine"}) == {"event": "fine"}


def configured(level: str) -> None:
    """As a service does, but without what ties a logger to the first stream that it wrote to."""
    configure_logging("test", level)
    structlog.configure(cache_logger_on_first_use=False)


@pytest.fixture
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The log as configured for a service (at a level that the test may name), written to memory."""
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before = (structlog.get_config(), list(root.handlers), root.level)
    configured(getattr(request, "param", "info"))
    yield stream
    structlog.configure(**before[0])
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = before[1], before[2]


def test_neither_our_loggers_nor_the_standard_ones_write_what_an_error_says(written: StringIO) -> None:
    error = raised()
    structlog.get_logger("ours").error("failed", exc_info=error)
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["failed", "Exception in ASGI application"]
    assert all(line["exception"] for line in lines)
    assert SECRET not in written.getvalue()


def test_an_error_that_nobody_waits_for_is_logged_without_what_it_says(written: StringIO) -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_exception(error := raised())
    context = {"message": "Task exception was never retrieved", "exception": error, "future": future}
    _unheard(loop, context)
    loop.close()
    assert future.exception() is error
    (line,) = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (line["event"], line["what"]) == ("unheard_error", "Task exception was never retrieved")
    assert SECRET not in written.getvalue()


def lines(written: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


async def answer(app: App, path: str = "/v1/sessions/trip/turns") -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": SECRET.encode(), "more_body": False}

    async def send(message: Any) -> None:
        pass

    headers = [(b"x-request-id", b"r-1"), (b"authorization", SECRET.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": SECRET.encode()}
    await app(scope, receive, send)


async def test_every_line_of_a_request_carries_it_wherever_it_is_written(written: StringIO) -> None:
    async def deeper() -> None:
        structlog.get_logger().warning("deep")

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        structlog.get_logger().warning("before")
        note(log="eu")
        await asyncio.create_task(deeper())
        logging.getLogger("driver").warning("standard")
        raise ValueError(SECRET)

    await answer(Edge(app, lambda error: None))
    structlog.get_logger().warning("after")
    found = lines(written)
    assert [line["event"] for line in found] == ["before", "deep", "standard", "request_failed", "after"]
    own = {"request_id": "r-1", "method": "POST", "route": "/v1/sessions/{session_id}/turns", "session_id": "trip"}
    assert all(own.items() <= line.items() for line in found[:-1])
    assert [line.get("log") for line in found] == [None, "eu", "eu", "eu", None]
    assert "request_id" not in found[-1]
    assert SECRET not in written.getvalue()


async def test_a_request_within_another_gives_the_line_back_to_it(written: StringIO) -> None:
    """As MCP calls the API in the same process."""

    async def inner(scope: Scope, receive: Any, send: Any) -> None:
        structlog.get_logger().warning("inner")

    async def outer(scope: Scope, receive: Any, send: Any) -> None:
        await answer(Edge(inner, lambda error: None), "/v1/sessions/inside/turns")
        structlog.get_logger().warning("outer")

    await answer(Edge(outer, lambda error: None), "/mcp")
    assert [(line["event"], line["route"], line.get("session_id")) for line in lines(written)] == [
        ("inner", "/v1/sessions/{session_id}/turns", "inside"),
        ("outer", "/mcp", None),
    ]


@pytest.mark.parametrize("path", [f"/v1/sessions/{SECRET}/turns", f"/{SECRET}", "/v1/sessions/" + "x" * 300])
async def test_what_is_no_session_id_is_not_logged_as_one(written: StringIO, path: str) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        raise ValueError

    await answer(Edge(app, lambda error: None), path)
    (line,) = lines(written)
    assert "session_id" not in line
    assert SECRET not in written.getvalue()


@pytest.mark.parametrize("written", ["info", "debug"], indirect=True)
async def test_each_request_has_a_line_at_debug_only(written: StringIO) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await respond(send, 204, b"")

    await answer(Counted(Edge(app, lambda error: None), "test"))
    if not structlog.get_logger().is_enabled_for(logging.DEBUG):
        assert lines(written) == []
        return
    (line,) = lines(written)
    assert (line["event"], line["status"], line["request_id"]) == ("request", 204, "r-1")
    assert line["route"] == "/v1/sessions/{session_id}/turns"
    assert line["took_ms"] >= 0
    assert SECRET not in written.getvalue()


def test_a_line_within_a_recorded_span_carries_its_ids(written: StringIO) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    log = structlog.get_logger()
    log.warning("outside")
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        log.warning("inside")
    log.warning("outside")
    before, inside, after = lines(written)
    context = span.get_span_context()
    assert (inside["trace_id"], inside["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert "trace_id" not in before
    assert "trace_id" not in after


def test_only_errors_of_ours_may_say_something() -> None:
    assert said_by(StoreUnavailable("PostgreSQL is away")) == {"detail": "PostgreSQL is away"}
    assert said_by(ValueError(SECRET)) == {}
