"""The OpenTelemetry SDK of one process, set up from the standard variables. Imported only where traces are on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import structlog
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider

from turnlog_tracing.sending import Sending
from turnlog_tracing.traces import Traces

SCOPE = "turnlog"
_log = structlog.get_logger()


def resource_of(service: str) -> Resource:
    """Who makes the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else `turnlog-<service>`."""
    told = OTELResourceDetector().detect().attributes
    ours = {"service.name": f"turnlog-{service}", "service.version": version("turnlog-tracing")}
    return Resource.create({name: value for name, value in ours.items() if name not in told})


@contextmanager
def provided(service: str) -> Iterator[Traces | None]:
    """The traces of this process; None when the SDK refuses a variable, which is logged.

    The provider is not made OpenTelemetry's global one: libraries that make spans by themselves (the MCP SDK) write
    into them what callers sent.
    """
    try:
        sending = Sending()
        provider = TracerProvider(resource=resource_of(service), shutdown_on_exit=False)
    except (ValueError, TypeError) as error:
        named = sorted(name for name in os.environ if name.startswith("OTEL_"))
        _log.error("traces_off", reason=f"OpenTelemetry refuses a variable: {type(error).__name__}", variables=named)
        yield None
        return
    provider.add_span_processor(sending)
    _log.info("traces_on", name=str(provider.resource.attributes.get("service.name")))
    traces = Traces(provider.get_tracer(SCOPE, version("turnlog-tracing")))
    yield traces
    sending.close()  # not after an error: whoever is told to end at once waits for nothing
