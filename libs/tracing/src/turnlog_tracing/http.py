"""A SERVER span for each HTTP request. Stands outside a service's edge and inside `Health`, whose paths have no spans.

The request goes on with a `traceparent` that names this span: so it is this span that an event remembers as the request
that stored it (`Event.trace`), and below it that the relay, the projector and the compressor go on, wherever they run.
"""

from collections.abc import Iterable

from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from turnlog_events.ids import AGENT_SESSION_PREFIX, is_id
from turnlog_runtime.asgi import App, Message, Receive, Scope, Send
from turnlog_runtime.route_templates import METHODS, UNMATCHED, route_of, session_of
from turnlog_tracing.context import ROOT, below, parsed, written

_PARENT, _STATE = b"traceparent", b"tracestate"


class TracedHttp:
    """Traces the requests of `app`. A trace of the caller is gone on with, as it decided on its recording.

    With `hand_on_unsampled` also the decision not to record a trace that begins here is told to whom `app` calls on
    behalf of the request; without, the events it stores do not have to remember that there is nothing to see.
    """

    def __init__(self, app: App, tracer: Tracer, *, hand_on_unsampled: bool = False) -> None:
        self._app, self._tracer, self._hand_on = app, tracer, hand_on_unsampled
        sampler = getattr(tracer, "sampler", None)
        self._asks_parent = sampler is not None and sampler.get_description().startswith("ParentBased")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = caller_of(scope["headers"])
        if parent is not None and self._asks_parent and not parent.trace_flags.sampled:
            await self._app(scope, receive, send)
            return
        # What is known of the request is only worth telling of one that is recorded; most are not.
        span = self._tracer.start_span("HTTP", below(parent), SpanKind.SERVER)
        if not span.is_recording():
            if self._hand_on:
                scope["headers"] = _handing_on(scope["headers"], span.get_span_context())
            await self._app(scope, receive, send)
            return
        _describe(span, scope)
        scope["headers"] = _handing_on(scope["headers"], span.get_span_context())
        token = attach(set_span_in_context(span, ROOT))
        try:
            await self._app(scope, receive, _answering(span, send))
        except BaseException as error:
            if span.is_recording():
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            detach(token)
            if span.is_recording():  # that of a stream has ended
                span.end()


def _describe(span: Span, scope: Scope) -> None:
    """Name a span after its request."""
    path: str = scope["path"]
    method = scope["method"] if scope["method"] in METHODS else "_OTHER"
    attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
    name = "HTTP" if method == "_OTHER" else method
    if (route := route_of(path)) != UNMATCHED:
        name = f"{name} {route}"
        attributes["http.route"] = route
        session = session_of(path)
        if session is not None and is_id(session.removeprefix(AGENT_SESSION_PREFIX)):
            attributes["gen_ai.conversation.id"] = session
    span.update_name(name)
    span.set_attributes(attributes)


def caller_of(headers: Iterable[tuple[bytes, bytes]]) -> SpanContext | None:
    """The span of whoever made the request; None when it names none, or more than one."""
    parents = [value for name, value in headers if name == _PARENT]
    if len(parents) != 1:
        return None
    state = b",".join(value for name, value in headers if name == _STATE)
    return parsed(parents[0].decode("latin-1").strip(" \t"), state.decode("latin-1"))


def _handing_on(headers: Iterable[tuple[bytes, bytes]], span: SpanContext) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in (_PARENT, _STATE)]
    kept.append((_PARENT, written(span).encode()))
    if span.trace_state:
        kept.append((_STATE, span.trace_state.to_header().encode()))
    return kept


def _answering(span: Span, send: Send) -> Send:
    """`send` that notes the answer's status. A stream of events may last for hours: its span ends when it begins."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            status: int = message["status"]
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))
            if any(k == b"content-type" and v.startswith(b"text/event-stream") for k, v in message.get("headers", ())):
                span.end()
        await send(message)

    return noting
