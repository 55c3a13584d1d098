"""What is logged of an error: its kind and where it came from, never what it says."""

import asyncio
import json
import logging
import sys
from io import StringIO
from typing import Any

import pytest
import structlog

from turnlog_runtime.lifecycle import _unheard
from turnlog_runtime.logs import configure_logging, name_exception

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


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The log as configured for a service, written to memory."""
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before = (structlog.get_config(), list(root.handlers), root.level)
    configure_logging("test")
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
