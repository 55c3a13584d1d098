"""One HTTP/1.1 connection: uvicorn's, with bounds on what a client may send and how slowly, and our form of error.

Bytes in; whole requests out to the app, as ASGI. What is no request everybody reads alike (`request_head.py`) is
answered after the requests before it, and ends the connection: so does every answer given before the request's body
was read to its end. Each answer carries `request-id`, also those that no app gave. Made by uvicorn for each connection;
`leaving.py` looks at `cycle`, `scope` and `transport`.

It costs some 2 µs a request more than uvicorn's own class (measured), where a read takes 120: a head that comes in one
piece has no timer, and sizes are added up only for one that may be too large.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from turnlog_runtime.answering import Answering, Outgoing, Taking, refusing
from turnlog_runtime.asgi import request_id_of
from turnlog_runtime.metrics import REFUSED
from turnlog_runtime.problems import Problem
from turnlog_runtime.request_head import HttpLimits, check_fields, head_late, malformed, target_of, too_large

CHUNK_COST_BYTES = 32
_log = structlog.get_logger()


class Connection(HttpToolsProtocol):
    """uvicorn's connection within `HttpLimits`."""

    cycle: Answering

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: HttpLimits = HttpLimits(),
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self._limits = limits
        self._outgoing: Any
        self._timer: asyncio.TimerHandle | None = None
        self._taking: Taking
        self._in_head = False
        self._over = False
        """Nothing that comes is read any more."""
        self._begun = 0
        """Requests begun in the bytes being parsed."""
        self._head_bytes = self._head_bound = 0
        """Of the head under way: what came before the bytes being parsed, and with all of these."""
        self._surplus_bytes = self._dropped_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head must arrive in time."""
        super().connection_made(transport)
        self._outgoing = Outgoing(transport, self._end)
        self._taking = Taking(transport, self.loop, self._limits)
        self._timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_timer()
        self._taking.end()

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse what is wrong."""
        if self._over:
            self._drop(len(data))
            return
        before = self.cycle
        in_body = before is not None and before.more_body and not self._in_head
        self._begun = 0
        self._head_bound = self._head_bytes + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._over = True  # answered as if it had not asked, and for the last time
        except httptools.HttpParserError as error:
            self._refuse(_problem_of(error))
            return
        if self._in_head:
            self._head_goes_on(len(data), alone=self._begun == 0 or (self._begun == 1 and not in_body))
        elif in_body and self.cycle is before and before.more_body:
            self._surplus_bytes += len(data)
            if self._surplus_bytes > self._limits.surplus_bytes:
                self._refuse(malformed("the body's chunks cost more than they carry", "transfer-encoding"))

    # --- what the parser calls ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins; stray line ends before it do not keep a connection open."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._in_head = True
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field. Trailers come here too, and are dropped: they must not pass for header fields."""
        if self._in_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head, and start the app or let it wait for the requests before."""
        limits, headers, version = self._limits, self.headers, self.parser.get_http_version()
        if len(headers) > limits.head_fields or (self._head_bound > limits.head_bytes and self._head_is_too_large()):
            raise too_large(limits, target_alone=len(self.url) > limits.head_bytes)
        upgrade = self.parser.should_upgrade()
        expects = check_fields(version, headers, upgrade=upgrade)
        raw_path, query = target_of(self.url)
        path = raw_path.decode("ascii")
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = raw_path, query
        self._in_head, self._head_bytes, self._surplus_bytes = False, 0, 0
        if self._timer is not None:
            self._stop_timer()
        keeps = not upgrade and version == "1.1" and self.parser.should_keep_alive()
        self._begin(self.app, keeps=keeps, expects=expects)

    def on_chunk_header(self) -> None:
        """What a chunk may cost beside its bytes."""
        self._surplus_bytes -= CHUNK_COST_BYTES

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        cycle = self.cycle
        self._surplus_bytes -= len(body)
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole: from here on its connection may be kept."""
        self.cycle.is_whole()

    # --- bounds and ends ----------------------------------------------------------------------------------------

    def _head_is_too_large(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return size > self._limits.head_bytes

    def _head_goes_on(self, size: int, *, alone: bool) -> None:
        """A head has come in part, in `size` bytes that hold nothing else when it was `alone`."""
        self._head_bytes += size if alone else 0
        if self._head_bytes > self._limits.head_bytes or self._head_is_too_large():
            self._refuse(too_large(self._limits, target_alone=not self.headers))
        elif self._timer is None:
            self._timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(head_late(self._limits))
        else:  # nothing was asked, so nothing is answered
            self.transport.close()

    def _begin(self, app: Any, *, keeps: bool, expects: bool = False) -> None:
        request_id = request_id_of(self.headers)
        self.scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        before = self.cycle
        self.cycle = Answering(
            scope=self.scope,
            transport=self._outgoing,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[*self.server_state.default_headers, (b"request-id", request_id.encode())],
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.keeps = keeps
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def _refuse(self, problem: Problem) -> None:
        """Answer the bytes that came with an error, in their turn, and read no more."""
        self._stop_timer()
        self._over = True
        if self._in_head:
            self._in_head = False
            self.scope["method"] = "GET"
            self._begin(refusing(problem), keeps=False)
        elif not self.cycle.more_body:
            return  # bytes after a request that was to be the last
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.fail(problem)
        REFUSED.labels(problem.code).inc()

    def on_response_complete(self) -> None:
        """Go on with the next request, unless that was the last."""
        if self._timer is not None and self._over:  # lingering
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()

    def _end(self) -> None:
        """The last answer is given. Closing a socket in which unread bytes wait would reset the connection, and the
        client might lose the answer: so only our side is closed, and for a while what comes is dropped."""
        if not (self._over or self.cycle.more_body or self.pipeline):
            self.transport.close()
            return
        self._over = True
        self._stop_timer()
        self._timer = self.loop.call_later(self._limits.linger_s, self.transport.close)
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.resume_reading()

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        if self._dropped_bytes > self._limits.linger_bytes:
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """An answer waits for its client, which must go on taking it."""
        super().pause_writing()
        self._taking.begin()

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        self._taking.end()

    def shutdown(self) -> None:
        """The process ends: this answer is the last."""
        if self.cycle is not None:
            self.cycle.keeps = False
        super().shutdown()


def _problem_of(error: httptools.HttpParserError) -> Problem:
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause
    if cause is not None:
        _log.error("request_head_failed", cause=type(cause).__name__)
    return malformed(f"this is no HTTP/1.1 request: {error}")
