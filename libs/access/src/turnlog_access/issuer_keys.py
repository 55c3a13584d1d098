"""The issuer's keys, fetched from the one configured address and nowhere else.

Fetched at start and every `refresh_s`; and when a token names a key that is not known, at most every `floor_s`,
whatever tokens come. What was fetched stays good while the issuer is away. Called by `token_door.py`.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import structlog
from jwt import PyJWK

from turnlog_access.errors import Refused, Unknown
from turnlog_access.key_set import BadKeySet, KeySet, key_set
from turnlog_access.metrics import JWKS_FETCHES

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """Where the keys are and which may be used. A fetch takes `fetch_s` at most and `document_max_bytes`; one that
    failed is tried again after `floor_s`."""

    url: str
    algorithms: frozenset[str]
    refresh_s: float = 300.0
    floor_s: float = 10.0
    fetch_s: float = 5.0
    wait_s: float = 2.0
    """How long a request waits for a fetch that may bring its token's key."""
    document_max_bytes: int = 256 * 1024


class IssuerKeys:
    """The keys as last fetched. `run` must be at work."""

    def __init__(self, settings: IssuerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._keys: KeySet | None = None
        self._document = b""
        self._tried_at = -math.inf
        self._wanted, self._tried, self._trying = asyncio.Event(), asyncio.Event(), False
        self.generation = 0
        """How often the keys have changed: what was concluded from other ones must be concluded anew."""

    async def find(self, kid: str | None) -> PyJWK:
        """The key that a token names. Raises `Refused`, or `Unknown` before the issuer has answered once."""
        key = self._keys.find(kid) if self._keys is not None else None
        if key is None and self._clock() - self._tried_at >= self._settings.floor_s:
            self._wanted.set()
        if key is None and (self._wanted.is_set() or self._trying):
            await self._next_try()
            key = self._keys.find(kid) if self._keys is not None else None
        if self._keys is None:
            raise Unknown("the issuer's keys could not be fetched yet")
        if key is None:
            raise Refused("the issuer has no key that it names")
        return key

    async def run(self) -> None:
        """Fetch, again and again, until cancelled."""
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits) as http:
            while True:
                ok = await self._try(http)
                pause_s = self._settings.refresh_s if ok else self._settings.floor_s
                try:
                    async with asyncio.timeout(pause_s):
                        await self._wanted.wait()
                except TimeoutError:
                    continue

    async def _next_try(self) -> None:
        try:
            async with asyncio.timeout(self._settings.wait_s):
                await self._tried.wait()
        except TimeoutError:
            return

    async def _try(self, http: httpx.AsyncClient) -> bool:
        self._tried_at, self._trying = self._clock(), True
        try:
            async with asyncio.timeout(self._settings.fetch_s):
                document = await self._fetched(http)
            keys = key_set(document, self._settings.algorithms)
        except Exception as error:  # the outermost loop: whatever it was, the keys that are known stay good
            JWKS_FETCHES.labels("failed").inc()
            _log.warning("jwks_not_fetched", cause=type(error).__name__, detail=str(error)[:200])
            return False
        finally:
            self._trying = False
            self._wanted.clear()
            self._tried.set()  # whoever waits goes on once what was fetched is in place, a few lines below
            self._tried.clear()
        JWKS_FETCHES.labels("done").inc()
        if document != self._document:
            self._keys, self._document = keys, document
            self.generation += 1
            _log.info("jwks_changed", keys=len(keys.by_kid))
        return True

    async def _fetched(self, http: httpx.AsyncClient) -> bytes:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with http.stream("GET", self._settings.url, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK or "content-encoding" in answer.headers:
                raise BadKeySet(f"the issuer answered {answer.status_code}, or what it answered is compressed")
            parts, size = [], 0
            async for part in answer.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > self._settings.document_max_bytes:
                    raise BadKeySet(f"the answer has more than {self._settings.document_max_bytes} bytes")
            return b"".join(parts)
