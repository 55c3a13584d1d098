"""The life of a process: run until a signal, stop taking, drain within a deadline, then cancel."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import structlog
import uvicorn

from turnlog_runtime import metrics
from turnlog_runtime.asgi import App
from turnlog_runtime.connection import Connection
from turnlog_runtime.leaving import LINGER_S, Server
from turnlog_runtime.request_head import HttpLimits

_log = structlog.get_logger()
T = TypeVar("T")


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stop)` on uvloop; SIGTERM and SIGINT set `stop`, a second one ends the process at once."""
    spare_the_collector()
    with _runner() as runner:
        runner.run(_with_signals(main))


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Run one piece of work to its end as a service would run it: on uvloop, with the collector spared."""
    spare_the_collector()
    with _runner() as runner:
        return runner.run(work)


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def spare_the_collector() -> None:
    """Leave what was made at import out of garbage collection, and collect the rest less often.

    Requests make short-lived objects without cycles, which reference counts free at once. At the defaults the
    collector took 9 % of ingest's CPU under load (measured), mostly walking what never goes away. The youngest are
    looked at often, a few at a time: at 20,000 each look held the event loop for 8 to 12 ms under load (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 200, 50)


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unheard)

    def asked() -> None:
        if stop.is_set():
            raise SystemExit(130)
        _log.info("stopping")
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked)
    writing = asyncio.create_task(metrics.keep_written()) if metrics.SEVERAL else None
    try:
        await main(stop)
    finally:
        if writing is not None:
            writing.cancel()


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nothing waits for. asyncio's own handler would write out tasks, and what they raised."""
    _log.error("unheard_error", what=context.get("message"), exc_info=context.get("exception"))


async def until(stop: asyncio.Event, work: Awaitable[None], drain_s: float) -> None:
    """Run `work`; once `stop` is set it has `drain_s` seconds to end by itself, then it is cancelled.

    An error of `work` is raised.
    """
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=drain_s)
        if task.done():
            task.result()
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@contextlib.asynccontextmanager
async def serving(
    app: App, host: str, port: int, shutdown_s: float, drain_s: float = 0.0, limits: HttpLimits = HttpLimits()
) -> AsyncIterator[int]:
    """Serve `app` over HTTP/1.1 within `limits`; yields the port bound (useful with port 0). On leaving, requests are
    taken for `drain_s` more, with each answer ending its connection; then open ones may finish for `shutdown_s`.

    Raises `OSError` when the address cannot be bound.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(Connection, limits=limits),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=max(1, int(shutdown_s)),
        timeout_keep_alive=75,
        backlog=2048,
        proxy_headers=False,
    )
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
    )
    # Connections inherit it. asyncio sets it only on sockets that name TCP, which these do not: without uvloop an
    # answer in two writes then waited 40 ms for the client's acknowledgement (measured).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield int(listener.getsockname()[1])
        server.leave()
        await asyncio.wait({task}, timeout=drain_s)
    finally:
        server.should_exit = True
        await asyncio.wait({task}, timeout=LINGER_S + shutdown_s + 2)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        listener.close()
