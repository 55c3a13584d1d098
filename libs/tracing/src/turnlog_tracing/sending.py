"""Sending spans to a collector: in a thread of its own, within bounds, and without a word about what is in them.

Spans that have ended wait in memory, `OTEL_BSP_MAX_QUEUE_SIZE` of them at most; what does not fit, or what the
collector does not take in time, is counted and dropped. No request ever waits for a collector, be it slow, broken or
away.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from turnlog_tracing.metrics import SPANS

CLOSE_S = 2.0
"""How long a process that ends waits for its last spans to be sent."""
QUEUE_SPANS = 2048
"""The default of `OTEL_BSP_MAX_QUEUE_SIZE`."""
SAY_AGAIN_S = 60.0
"""Failures are logged at most so often; `turnlog_trace_spans_total` counts them all."""
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")
_log = structlog.get_logger()


class Redirected(requests.RequestException):
    """The collector's address answers with another one, to which no key shall go."""


class Session(requests.Session):
    """Requests to a collector. `last` says how the latest one went: a status or a kind of error, no text of theirs.

    Proxies of the environment are used as by any other program, but never on the way to this machine itself, and no
    `.netrc` is read. A redirect is an error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self.auth = _as_it_is

    def post(self, url: Any, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        """See `requests.Session.post`."""
        self.trust_env = not is_this_machine(str(url))
        try:
            response = self.request("POST", url, data=data, json=json, allow_redirects=False, **options)
        except requests.RequestException as error:
            self.last = type(error).__name__
            raise
        self.last = str(response.status_code)
        if response.is_redirect:
            raise Redirected("the collector's address has moved")
        return response


def _as_it_is(request: Any) -> Any:
    return request


def is_this_machine(url: str) -> bool:
    """Whether an address is on the loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class CountedExporter(SpanExporter):
    """Sends batches and counts what became of them. Called from the sending thread only."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._inner = OTLPSpanExporter(session=session)
        self._said_at = -SAY_AGAIN_S
        self.taken = 0
        """How many spans have left the queue, whatever became of them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; a failure is final, and told to nobody but the counter and (rarely) the log."""
        self.taken += len(spans)
        try:
            result = self._inner.export(spans)
        except Exception as error:  # whatever it is, spans are not worth a traceback with them in it
            self._session.last = type(error).__name__
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            SPANS.labels("sent").inc(len(spans))
        else:
            SPANS.labels("failed").inc(len(spans))
            self._say(len(spans))
        return result

    def _say(self, spans: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_AGAIN_S:
            self._said_at = now
            _log.warning("traces_not_sent", cause=self._session.last, spans=spans, again_s=SAY_AGAIN_S)

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits in here."""
        return True


class Sending(SpanProcessor):
    """Takes spans as they end and hands them to the sending thread, as long as there is room."""

    def __init__(self) -> None:
        self._exporter = CountedExporter(Session())
        self._room = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE_SPANS)
        self._batches = BatchSpanProcessor(self._exporter, max_queue_size=self._room)
        self._given = 0
        for name in _TALKATIVE:  # each failure would be a line of theirs, with what a collector answered
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Nothing happens before the end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span, or drop it when too many wait."""
        if self._given - self._exporter.taken >= self._room:
            SPANS.labels("dropped").inc()
            return
        self._given += 1
        self._batches.on_end(span)

    def close(self, limit_s: float = CLOSE_S) -> None:
        """Send what waits, for so long at most. The thread that may still be sending then ends with the process."""
        ending = threading.Thread(target=self._batches.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(limit_s)
        self._exporter.shutdown()
        left = self._given - self._exporter.taken
        if left > 0:
            SPANS.labels("dropped").inc(left)
            _log.warning("traces_left_unsent", spans=left)

    def shutdown(self) -> None:
        """See `close`."""
        self.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits, now."""
        return self._batches.force_flush(timeout_millis)
