"""Liveness, readiness per dependency, and metrics, as an ASGI app that any service can put in front of its own.

`/livez` says that the process runs its event loop; `/readyz` asks each dependency within a second and is 503 when one
that the service cannot work without is away, and at once while the process is leaving; `/metrics` is Prometheus' text
format, and asks the dependencies too. All three are GET (or HEAD) only. Every other request is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client.exposition import choose_encoder

from turnlog_runtime.asgi import App, Receive, Scope, Send, header, respond, respond_problem
from turnlog_runtime.counting import Counted
from turnlog_runtime.metrics import DEPENDENCY_UP, registry
from turnlog_runtime.problems import method_not_allowed, route_not_found

CHECK_S = 1.0
PATHS = frozenset({"/livez", "/readyz", "/metrics"})


@dataclass(frozen=True, slots=True)
class Check:
    """How to ask a dependency (an exception or a time-out means away), and whether the service needs it."""

    ask: Callable[[], Awaitable[object]]
    needed: bool = True


class Health:
    """Serves /livez, /readyz and /metrics, counts everything else and passes it on."""

    def __init__(
        self,
        app: App,
        checks: Mapping[str, Check],
        leaving: asyncio.Event | None = None,
        service: str = "turnlog",
        *,
        metrics: bool = True,
    ) -> None:
        """`leaving` is set when the process begins to leave: balancers shall send nothing more. `service` is the name
        in metrics; without `metrics` they are not served here, as they are on a port of their own."""
        self._app = app if app is nothing else Counted(app, service)
        self._service, self._metrics = service, metrics
        self._checks = checks
        self._leaving = leaving
        self._asking: asyncio.Future[dict[str, bool]] | None = None

    @property
    def draining(self) -> bool:
        """Whether the process is leaving."""
        return self._leaving is not None and self._leaving.is_set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path in PATHS and scope["method"] not in ("GET", "HEAD"):
            await respond_problem(send, method_not_allowed("GET, HEAD"))
        elif path == "/livez":
            await respond(send, 200, b'{"status":"ok"}')
        elif path == "/readyz":
            status, body = await self._ready()
            await respond(send, status, body)
        elif path == "/metrics" and not self._metrics:
            await respond_problem(send, route_not_found())
        elif path == "/metrics":
            await self._states()
            encode, content_type = choose_encoder(header(scope, b"accept") or "")
            body = await asyncio.to_thread(encode, registry())
            await respond(send, 200, body, [(b"content-type", content_type.encode())])
        else:
            await self._app(scope, receive, send)

    async def _ready(self) -> tuple[int, bytes]:
        if self.draining:
            return 503, b'{"status":"draining","dependencies":{}}'
        states = await self._states()
        ready = all(ok or not self._checks[name].needed for name, ok in states.items())
        dependencies = {name: "ok" if ok else "away" for name, ok in states.items()}
        status = "ok" if ready else "not ready"
        return (200 if ready else 503), orjson.dumps({"status": status, "dependencies": dependencies})

    async def _states(self) -> dict[str, bool]:
        """Which dependencies answer. Whoever asks while they are being asked has the same answer: here anybody may come
        as often as he likes, and connections to PostgreSQL are few."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask_all())
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, asking: "asyncio.Future[dict[str, bool]]") -> None:
        self._asking = None
        _heard(asking)

    async def _ask_all(self) -> dict[str, bool]:
        names = list(self._checks)
        found = await asyncio.gather(*(_answers(self._checks[name].ask) for name in names))
        for name, answers in zip(names, found, strict=True):
            DEPENDENCY_UP.labels(self._service, name).set(answers)
        return dict(zip(names, found, strict=True))


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    """Whether a dependency answers in time. One that does not is not waited for: a client library may swallow the
    cancellation."""
    asking = asyncio.ensure_future(ask())
    done, _ = await asyncio.wait({asking}, timeout=CHECK_S)
    if not done:
        asking.cancel()
        asking.add_done_callback(_heard)
        return False
    return not asking.cancelled() and asking.exception() is None


def _heard(asking: "asyncio.Future[Any]") -> None:
    if not asking.cancelled():
        asking.exception()


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind `Health` in a service without an API."""
    await respond_problem(send, route_not_found())
