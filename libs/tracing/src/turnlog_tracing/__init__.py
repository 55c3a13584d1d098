"""OpenTelemetry traces of a turn, from the call to the read models.

`tracing("ingest")` gives a process its `Traces`, or None where nothing asks for them: then nothing of OpenTelemetry is
imported. Every span is made by something that stands at an edge (an ASGI wrapper, an observer of the store, a carrier
of the bus, a decorator of a port); docs/adr/0019 says what is a child of what.
"""

from turnlog_tracing.switch import tracing

__all__ = ["tracing"]
