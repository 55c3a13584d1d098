"""The API keys that a process knows: what makes a known key cost one look into a dictionary.

Enters: the SHA-256 of a credential, and its id. Leaves: whom it stands for. Called by `door.py`.

A key that was looked up is trusted for `trust_s`. Every `look_s` those in use are looked up again, all in one question,
so that a busy key never waits and a revoked one is refused everywhere within `trust_s` and the time that a question
takes. Keys not seen before are gathered in the same way: one question at a time, however many ask. While PostgreSQL is
away, a key once found live stays so for `stale_max_s`.

An unknown id and a wrong secret take the very same way: one question, one comparison.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Protocol

import structlog

from turnlog_access.errors import Refused, Unknown
from turnlog_access.metrics import KEYS_AWAY
from turnlog_eventstore import ApiKey, SchemaMissing, StoreError
from turnlog_eventstore.waiting import passed
from turnlog_runtime.principal import SCOPES, Principal

_log = structlog.get_logger()
_NO_KEY = bytes(32)
NO_LONGER = "the API key is unknown, revoked or expired"


class KeySource(Protocol):
    """Where keys are looked up; see `turnlog_eventstore.ApiKeys`."""

    async def live(self, key_ids: Collection[str], deadline_s: float) -> dict[str, ApiKey]: ...
    async def note_used(self, used_at_s: Mapping[str, float], deadline_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class KeyringSettings:
    """Times in seconds. `look_s` + 2 × `question_s` is below `trust_s`, and that below the promised 5."""

    trust_s: float = 4.0
    look_s: float = 2.0
    question_s: float = 0.9
    stale_max_s: float = 3_600.0
    refused_s: float = 2.0
    """How long a refusal is remembered, so that a client that repeats itself asks nobody."""
    note_s: float = 60.0
    known_max: int = 10_000
    asking_max: int = 2_000
    """Credentials that may wait for an answer; beyond, requests are told to come back."""
    question_max: int = 500


class _Known:
    """A key once found live."""

    __slots__ = ("checked_at", "expires_at_s", "key_id", "noted_at", "principal", "used_at")

    def __init__(self, key: ApiKey, now: float) -> None:
        self.key_id = key.key_id
        self.used_at, self.noted_at = now, -math.inf
        self.check(key, now)

    def check(self, key: ApiKey, now: float) -> None:
        """It was found live at `now`, as `key` says."""
        self.principal = Principal(key.tenant, key.scopes & SCOPES, key.key_id)
        self.expires_at_s, self.checked_at = key.expires_at_s, now


class _Asking:
    """A credential that waits for an answer."""

    __slots__ = ("answer", "digest", "key_id")

    def __init__(self, key_id: str, digest: bytes) -> None:
        self.key_id, self.digest = key_id, digest
        self.answer: asyncio.Future[Principal] = asyncio.get_running_loop().create_future()


class Keyring:
    """Known keys by the digest of their credential. `run` must be at work."""

    def __init__(
        self,
        source: KeySource,
        settings: KeyringSettings = KeyringSettings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._settings, self._clock = source, settings, clock
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, float] = {}
        self._asking: list[_Asking] = []
        self._wake = asyncio.Event()
        self._looked_at = self._noted_at = clock()
        self._failed_at = -math.inf
        self.away = False
        """Whether the last question had no answer."""

    def known(self, digest: bytes) -> Principal | None:
        """Whom a credential stands for, if that can be said without asking."""
        found = self._known.get(digest)
        if found is None:
            return None
        now = self._clock()
        age = now - found.checked_at
        if age > self._settings.trust_s and not (self.away and age <= self._settings.stale_max_s):
            return None
        if found.expires_at_s <= time.time():
            return None
        found.used_at = now
        return found.principal

    async def find(self, key_id: str, digest: bytes) -> Principal:
        """Whom a credential stands for. Raises `Refused`, or `Unknown` while PostgreSQL is away."""
        if self._refused.get(digest, -math.inf) > self._clock():
            raise Refused(NO_LONGER)
        if len(self._asking) >= self._settings.asking_max:
            raise Unknown("too many unknown credentials at once")
        asking = _Asking(key_id, digest)
        self._asking.append(asking)
        self._wake.set()
        return await asking.answer

    async def run(self) -> None:
        """Answer who asks, look at the keys in use, note when they were used; until cancelled."""
        while True:
            await passed(self._wake, max(0.0, self._looked_at + self._settings.look_s - self._clock()))
            self._wake.clear()
            try:
                await self._look()
                if self._clock() - self._noted_at >= self._settings.note_s:
                    await self.note()
            except Exception as error:  # the outermost loop: without it no key would be let in, nor any shut out
                _log.exception("keyring_failed", cause=type(error).__name__)
                await asyncio.sleep(self._settings.question_s)

    async def note(self) -> None:
        """Note when keys were last used, of those used since the last note."""
        self._noted_at = self._clock()
        offset = time.time() - self._noted_at
        used = [known for known in self._known.values() if known.used_at > known.noted_at]
        if not used or self.away:
            return
        try:
            await self._source.note_used({k.key_id: k.used_at + offset for k in used}, self._settings.question_s)
        except StoreError as error:  # it is told next time; what it is for may be a minute late
            _log.warning("key_use_not_noted", cause=type(error).__name__)
            return
        for known in used:
            known.noted_at = self._noted_at

    async def _look(self) -> None:
        """One question: for those who ask, and when it is time for the keys in use."""
        asking = self._asking[: self._settings.question_max]
        del self._asking[: len(asking)]
        began = self._clock()
        due = began - self._looked_at >= self._settings.look_s
        used = [k.key_id for k in self._known.values() if k.used_at >= self._looked_at] if due else []
        ids = {asked.key_id for asked in asking} | set(used)
        if due:
            self._looked_at = began
        try:
            if ids and began - self._failed_at < self._settings.question_s / 2 and not due:
                raise Unknown("PostgreSQL was away just now")
            live = await self._source.live(ids, self._settings.question_s) if ids or (due and self.away) else {}
        except Exception as error:
            self._failed(asking, error)
            if not isinstance(error, (StoreError, Unknown)):
                raise
        else:
            self._answered(asking, used, live, began)
        if self._asking:
            self._wake.set()

    def _answered(self, asking: list[_Asking], used: list[str], live: Mapping[str, ApiKey], began: float) -> None:
        self._set_away(False)
        checked = set(used)
        for digest, known in list(self._known.items()) if checked else ():
            if known.key_id not in checked:
                continue
            if (key := live.get(known.key_id)) is not None and compare_digest(key.sha256, digest):
                known.check(key, began)
            else:
                del self._known[digest]
        for asked in asking:
            key = live.get(asked.key_id)
            if compare_digest(key.sha256 if key is not None else _NO_KEY, asked.digest) and key is not None:
                self._admit(asked, key, began)
            else:
                self._refuse(asked)

    def _admit(self, asked: _Asking, key: ApiKey, began: float) -> None:
        known = self._known[asked.digest] = _Known(key, began)
        if len(self._known) > self._settings.known_max:
            by_use = sorted(self._known, key=lambda digest: self._known[digest].used_at)
            for digest in by_use[: 1 + self._settings.known_max // 4]:
                del self._known[digest]
        if not asked.answer.done():
            asked.answer.set_result(known.principal)

    def _refuse(self, asked: _Asking) -> None:
        self._known.pop(asked.digest, None)
        while len(self._refused) >= self._settings.known_max:
            del self._refused[next(iter(self._refused))]
        self._refused[asked.digest] = self._clock() + self._settings.refused_s
        if not asked.answer.done():
            asked.answer.set_exception(Refused(NO_LONGER))

    def _failed(self, asking: list[_Asking], error: Exception) -> None:
        """Nobody can say: who was let in before stays in, the others must come back."""
        if not isinstance(error, Unknown):
            self._failed_at = self._clock()
            self._set_away(True, type(error).__name__)
        for asked in asking:
            if asked.answer.done():
                continue
            principal = self.known(asked.digest)
            if principal is not None:
                asked.answer.set_result(principal)
            else:
                asked.answer.set_exception(Unknown(f"API keys cannot be looked up: {_why(error)}"))

    def _set_away(self, away: bool, cause: str = "") -> None:
        if away != self.away:
            self.away = away
            KEYS_AWAY.set(away)
            _log.warning("keys_unchecked" if away else "keys_checked_again", cause=cause)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, SchemaMissing) else "PostgreSQL is away"
