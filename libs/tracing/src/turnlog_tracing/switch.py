"""Whether this process makes traces: the standard `OTEL_*` variables say so, and nothing else does.

Called once by each `__main__`. Nothing here imports OpenTelemetry before it is known to be wanted.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_log = structlog.get_logger()


class NotUsable(Exception):
    """The variables ask for traces in a way that cannot be done."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces. Raises `NotUsable` where they ask for what cannot be done."""
    name, endpoint = _first(environment, ENDPOINTS)
    exporters = {part.strip() for part in environment.get("OTEL_TRACES_EXPORTER", "otlp").lower().split(",")}
    if not endpoint or "otlp" not in exporters or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise NotUsable(f"{name} must be the address of a collector, e.g. http://localhost:4318")
    name, protocol = _first(environment, PROTOCOLS)
    if protocol not in ("", "http/protobuf"):
        raise NotUsable(f"{name}: only http/protobuf is spoken here; a collector takes it on port 4318")
    return True


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """The first of these variables that is set to something, and its value; the last name and "" if none is."""
    for name in names:
        if value := environment.get(name, "").strip():
            return name, value
    return names[-1], ""


@contextmanager
def tracing(service: str) -> "Iterator[Traces | None]":
    """The traces of this process, or None where they are off. On an orderly end what is waiting is sent, within
    `sending.CLOSE_S` seconds.

    What is wrong with the variables is logged and leaves traces off: a service does not stay down for want of them.
    """
    try:
        on = wanted(os.environ)
    except NotUsable as error:
        _log.error("traces_off", reason=str(error))
        on = False
    if not on:
        yield None
        return
    from turnlog_tracing.provider import provided

    with provided(service) as traces:
        yield traces
