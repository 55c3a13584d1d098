"""An HTTP server that can leave without failing a request: uvicorn, with an orderly end.

What HTTP/1.1 allows, in this order. `leave`: requests are still taken, and each answer says `Connection: close`, so
that clients open their next connection elsewhere. Then the listener closes, with every connection that the kernel had
accepted for it taken over first (closing it would reset them). Then connections that lie idle are closed, unless bytes
of a request are waiting in them. What remains is a request that is on the wire at that moment; none of a client that
used its connection while the server was leaving.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable, Iterable
from typing import cast

import uvicorn

from turnlog_runtime.connection import Connection

LINGER_S = 1.0
"""How long a connection that was opened and has sent nothing yet may still send its request."""
STEP_S = 0.01
_CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers (the process has one place for them), leaving in order."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals alone."""
        yield

    def leave(self) -> None:
        """From now on every answer ends its connection; requests are taken as before."""
        self.config.encoded_headers.append(_CLOSE)  # uvicorn makes the headers of all answers of these each second …
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]  # … and this is at once
        for connection in self._connections():
            cycle = connection.cycle  # of several requests in a pipeline, the last
            if cycle is not None and not cycle.response_complete:
                cycle.keeps = cycle.keep_alive = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener and idle connections, then wait for requests under way as uvicorn does."""
        waiting = [connection for listener in sockets or [] for connection in _accepted(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        for accepted in waiting:
            await loop.connect_accepted_socket(self._protocol, accepted)
        for _ in range(int(LINGER_S / STEP_S)):
            if not self._close_idle():
                break
            await asyncio.sleep(STEP_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return made(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _connections(self) -> list[Connection]:
        return [cast("Connection", connection) for connection in self.server_state.connections]

    def _close_idle(self) -> bool:
        """Close connections that have been answered and are silent; whether a request may still be arriving on one."""
        arriving = False
        idle: dict[int, Connection] = {}
        for connection in self._connections():
            cycle = connection.cycle
            if cycle is None or cycle.scope is not connection.scope:  # nothing was sent yet, or part of a head
                arriving = True
            elif cycle.response_complete and not connection.transport.is_closing():
                idle[connection.transport.get_extra_info("socket").fileno()] = connection
        for fd in idle.keys() - _readable(idle):
            idle[fd].transport.close()
        return arriving or any(not connection.transport.is_closing() for connection in idle.values())


def _accepted(listener: socket.socket) -> list[socket.socket]:
    """The connections that wait at a listener (which does not block)."""
    found = []
    with contextlib.suppress(OSError):  # none is left, or the listener is closed
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            found.append(connection)
    return found


def _readable(fds: Iterable[int]) -> set[int]:
    """Those in which something waits to be read."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(0)}
