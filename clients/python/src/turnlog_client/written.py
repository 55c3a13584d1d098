"""Read your writes: what a client wrote to each session, so that its reads ask for nothing older.

Enters: the calls a client makes and their answers. Leaves: the same reads with `min_version` (after a write) or `fresh`
(after a retraction, which has no version). A version is forgotten once the read model has shown it. No network;
bounded; used by both clients, from any thread.
"""

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any, TypeVar

from turnlog_client.calls import READ, RETRACT, STORE, Call
from turnlog_client.results import Placed

T = TypeVar("T")
SESSIONS_MAX = 10_000
WAIT_MS = 250
"""How long the read model may take to show a write before PostgreSQL answers: a projector that stands still must not
cost every read of the session the server's two seconds."""
_RETRACTED = -1


class Written:
    """The last version written to each of the `sessions_max` sessions written to last; with 0 nothing is remembered."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def applied(self, call: Call[T]) -> Call[T]:
        """The call as it is to be sent. A `min_version` or `fresh` of the caller's own stays as it is."""
        version = self._versions.get(call.session_id or "") if call.kind == READ else None
        if version is None or "min_version" in call.params or "fresh" in call.params:
            return call
        if version == _RETRACTED:
            return replace(call, params={**call.params, "fresh": True})
        return replace(call, params={"wait_ms": WAIT_MS, **call.params, "min_version": version})

    def note(self, call: Call[Any], answer: Any) -> None:
        """Take in the answer to a call."""
        if call.session_id is None:
            return
        if call.kind == STORE:
            places: list[Placed] = answer if isinstance(answer, list) else [answer]
            self.wrote(call.session_id, max(place.version for place in places))
        elif call.kind == RETRACT:
            self.wrote(call.session_id, _RETRACTED)
        elif call.kind == READ and answer.get("source") == "redis":
            self._shown(call.session_id, answer["version"])

    def wrote(self, session_id: str, version: int) -> None:
        """A turn of this version was stored."""
        with self._lock:
            known = self._versions.get(session_id, 0)
            self._versions[session_id] = _RETRACTED if _RETRACTED in (known, version) else max(known, version)
            self._versions.move_to_end(session_id)
            while len(self._versions) > self._sessions_max:
                self._versions.popitem(last=False)

    def forget(self, session_id: str | None) -> None:
        """Ask for nothing more of this session: the log does not have what was written (it was replaced)."""
        with self._lock:
            self._versions.pop(session_id or "", None)

    def _shown(self, session_id: str, version: int) -> None:
        with self._lock:
            if 0 < self._versions.get(session_id, 0) <= version:
                del self._versions[session_id]
