"""JSON logs: one object a line, stable event names, never content, prompts or keys.

An exception is logged by its kind and the places it came through. Its message is left out: a driver's or a validator's
holds the value it objects to. A line written while a request is served or a span recorded carries their ids
(`log_context.py`). At level debug each request has a line of its own.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import structlog

from turnlog_runtime.log_context import add_request, add_trace

PLACES_MAX, ERRORS_MAX = 12, 10


def name_exception(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A log line's exception as `exception`: of it and of each that caused it, the kind and the innermost places."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = [" < ".join([kind, *places]) for kind, places in _causes(error)]
    return event


def said_by(error: BaseException) -> dict[str, str]:
    """What may be logged of an error's words, as `detail`: those of errors that are ours, which hold no content."""
    return {"detail": str(error)} if type(error).__module__.startswith("turnlog_") else {}


def _causes(error: BaseException) -> Iterator[tuple[str, list[str]]]:
    """The error, the parts of a group, and what caused it."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < ERRORS_MAX:
        error = waiting.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
        yield type(error).__qualname__, [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        waiting += [cause] if cause is not None else []


_told = False


def tells_requests() -> bool:
    """Whether each request has a line."""
    return _told


def configure_logging(service: str, level: str = "info") -> None:
    """Send structlog and the standard library's warnings to stderr as JSON lines that name the service."""
    global _told
    number = logging.getLevelNamesMapping()[level.upper()]
    _told = number <= logging.DEBUG

    def add_service(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service  # no context variable: threads have a context of their own
        return event

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        add_request,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, name_exception, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                name_exception,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
