"""One connection to one Redis server, whose `run_id` is known for as long as the connection lives.

Commands go out as one pipeline and their replies come back in order; after any failure or time-out the connection
is dropped, so a reply can never be taken for the answer to another command. Called by the reader's pump and by the
writer; not safe for two callers at once.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import RedisError, ResponseError

from turnlog_views.errors import ViewsRefused, ViewsUnavailable
from turnlog_views.functions import library

BROKEN = (OSError, RedisError, TimeoutError, RuntimeError)
"""What a connection that broke shows as; RuntimeError is uvloop's word for writing to one that was reset."""
CHUNK_BYTES = 1 << 20
"""Replies are awaited after about so many bytes: the server's output never waits for our input to end."""


def pack(*command: str | bytes | int) -> bytes:
    """A command as bytes on the wire (RESP)."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub names no tuples of many
    return packed


class Link:
    """A connection that is opened by `open` and again after it was lost."""

    def __init__(self, url: str, connect_timeout_s: float = 2.0) -> None:
        self._timeout_s = connect_timeout_s
        self._pool = ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, socket_connect_timeout=connect_timeout_s
        )
        self._connection: AbstractConnection | None = None
        self.run_id = ""

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent: the server has said which one it is (`run_id`)."""
        return bool(self.run_id)

    async def open(self) -> None:
        """Connect, learn the server's `run_id` and see to it that it knows our functions.

        Raises `ViewsUnavailable` within `connect_timeout_s`, also for a server that is loading its data or is a
        replica that lacks the functions.
        """
        await self.close()
        try:
            async with asyncio.timeout(self._timeout_s):
                connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]
                    self._connection = connection
                    self.run_id = await self._greet()
                except BaseException:
                    self._connection = None
                    await connection.disconnect(nowait=True)
                    raise
        except (*BROKEN, ViewsRefused) as error:
            raise ViewsUnavailable(f"cannot use the Redis server: {error}") from error

    async def _greet(self) -> str:
        lib = library()
        commands = [pack("INFO", "server"), pack("FUNCTION", "LIST", "LIBRARYNAME", lib.name)]
        info, found = await self.call(commands)
        if not found:
            (loaded,) = await self.call([pack("FUNCTION", "LOAD", "REPLACE", lib.source)])
            if isinstance(loaded, ResponseError):
                raise ViewsRefused(str(loaded))
        for line in bytes(info).splitlines():
            if line.startswith(b"run_id:"):
                return line[len(b"run_id:") :].decode()
        raise ViewsRefused("INFO server names no run_id")

    async def call(self, packed: Sequence[bytes], timeout_s: float | None = None) -> list[Any]:
        """Send packed commands as one pipeline; their replies in order, errors as `ResponseError` values.

        Raises `ViewsUnavailable` when the connection fails or `timeout_s` has passed for all of them together; the
        connection is closed then, and also when the caller is cancelled.
        """
        connection = self._connection
        if connection is None:
            raise ViewsUnavailable("not connected")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(connection, packed)
        except BROKEN as error:
            await self.close()
            raise ViewsUnavailable(f"the Redis server failed: {error or 'time-out'}") from error
        except BaseException:
            await self.close()
            raise

    async def _exchange(self, connection: AbstractConnection, packed: Sequence[bytes]) -> list[Any]:
        replies: list[Any] = []
        chunk: list[bytes] = []
        size = 0
        for command in packed:
            chunk.append(command)
            size += len(command)
            if size >= CHUNK_BYTES:
                await self._exchange_chunk(connection, chunk, replies)
                chunk, size = [], 0
        if chunk:
            await self._exchange_chunk(connection, chunk, replies)
        return replies

    async def _exchange_chunk(self, connection: AbstractConnection, chunk: Sequence[bytes], replies: list[Any]) -> None:
        await connection.send_packed_command(b"".join(chunk), check_health=False)
        for _ in chunk:
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)

    async def close(self) -> None:
        """Drop the connection at once; `open` may follow. Its `run_id` goes too: nothing that is asked of the next
        server may name this one, whose data the next may hold as it was some time ago."""
        connection, self._connection, self.run_id = self._connection, None, ""
        if connection is not None:
            await connection.disconnect(nowait=True)
