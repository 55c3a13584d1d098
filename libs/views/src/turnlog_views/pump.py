"""Coalesces concurrent reads: what was asked while the last pipeline was on its way goes out as the next one.

One pump drives one connection. `submit` is called by the reader for each read; the pump's task sends, receives and
resolves. A failure or a passed deadline drops the connection and answers everything that waits with None, so a
reply is never taken for another's; the connection comes back in the background.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import ResponseError

from turnlog_views.errors import ViewsUnavailable
from turnlog_views.link import Link

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PumpSettings:
    """`deadline_s` bounds one read from `submit` to its answer, waiting included."""

    deadline_s: float = 0.25
    waiting_max: int = 1024
    batch_max: int = 128
    connect_timeout_s: float = 2.0
    backoff_first_s: float = 0.05
    backoff_last_s: float = 2.0


class _Waiting:
    __slots__ = ("packed", "reply", "since_s")

    def __init__(self, packed: bytes, reply: "asyncio.Future[Any]", since_s: float) -> None:
        self.packed, self.reply, self.since_s = packed, reply, since_s


class Pump:
    """Reads over one connection. `run` must be running for `submit` to be answered."""

    def __init__(self, url: str, settings: PumpSettings) -> None:
        self._settings = settings
        self._link = Link(url, settings.connect_timeout_s)
        self._waiting: list[_Waiting] = []
        self._work = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._distrusted = False
        self.ready = asyncio.Event()

    @property
    def run_id(self) -> str:
        """That of the server behind the connection."""
        return self._link.run_id

    def submit(self, packed: bytes) -> "asyncio.Future[Any] | None":
        """Queue one packed command. Its reply comes as the future's result, None when there is none to be had.

        Answers None at once when the connection is away or too many wait.
        """
        if not self._link.is_open or self._distrusted or len(self._waiting) >= self._settings.waiting_max:
            return None
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(_Waiting(packed, reply, self._loop.time()))
        if len(self._waiting) == 1:
            self._work.set()
        return reply

    async def run(self) -> None:
        """Serve until cancelled; connects again for ever."""
        attempt = 0
        try:
            while True:
                try:
                    await self._link.open()
                    self.ready.set()
                    attempt = 0
                    await self._serve()
                except Exception as error:  # the outermost loop: else no read of this process came from Redis again
                    await self._link.close()
                    self.ready.clear()
                    self._give_up_waiting()
                    attempt += 1
                    if isinstance(error, ViewsUnavailable):
                        _log.warning("views_unavailable", side="reader", attempt=attempt, error=str(error))
                    else:
                        _log.exception("views_failed", side="reader", attempt=attempt, error=type(error).__name__)
                    await asyncio.sleep(self._backoff_s(attempt))
        finally:
            self.ready.clear()
            self._give_up_waiting()
            await self._link.close()

    async def _serve(self) -> None:
        while True:
            await self._work.wait()
            if self._distrusted:
                self._distrusted = False
                await self._link.close()
                raise ViewsUnavailable("replies and questions did not match")
            batch = self._waiting[: self._settings.batch_max]
            del self._waiting[: self._settings.batch_max]
            if not self._waiting:
                self._work.clear()
            try:
                left_s = batch[0].since_s + self._settings.deadline_s - self._loop.time()
                replies = await self._link.call([w.packed for w in batch], max(left_s, 0.0))
            except BaseException:
                _resolve(batch, [None] * len(batch))
                raise
            _resolve(batch, replies)
            refused = next((r for r in replies if isinstance(r, ResponseError)), None)
            if refused is not None:
                await self._link.close()
                raise ViewsUnavailable(str(refused))

    def drop(self) -> None:
        """Give the connection up: a reply did not belong to its question."""
        self._distrusted = True
        self._work.set()

    def _give_up_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        self._work.clear()
        _resolve(batch, [None] * len(batch))

    def _backoff_s(self, attempt: int) -> float:
        ceiling = min(self._settings.backoff_first_s * 2.0 ** min(attempt, 16), self._settings.backoff_last_s)
        return ceiling * random.uniform(0.5, 1.0)


def _resolve(batch: list[_Waiting], replies: list[Any]) -> None:
    for waiting, reply in zip(batch, replies, strict=True):
        if not waiting.reply.done():  # its caller may have been cancelled
            waiting.reply.set_result(None if isinstance(reply, ResponseError) else reply)
