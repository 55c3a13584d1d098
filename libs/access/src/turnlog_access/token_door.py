"""Access tokens at the door: checked once, then known by their digest until they expire or the issuer's keys change."""

import time

from turnlog_access.issuer_keys import IssuerKeys
from turnlog_access.tokens import Holder, TokenRules, holder_of, key_id_of
from turnlog_runtime.principal import Principal


class TokenDoor:
    """Tokens that were found valid, by the SHA-256 of the whole token; at most `known_max`."""

    def __init__(self, keys: IssuerKeys, rules: TokenRules, known_max: int = 10_000) -> None:
        self._keys, self._rules, self._known_max = keys, rules, known_max
        self._known: dict[bytes, Holder] = {}
        self._generation = keys.generation

    def known(self, digest: bytes) -> Principal | None:
        """Who holds a token, if it was checked before and nothing has changed since."""
        holder = self._known.get(digest)
        if holder is None or self._keys.generation != self._generation or holder.expires_at_s <= time.time():
            return None
        return holder.principal

    async def find(self, token: bytes, digest: bytes) -> Principal:
        """Who holds a token. Raises `Refused`, or `Unknown` before the issuer's keys were fetched."""
        text = token.decode("ascii")
        key = await self._keys.find(key_id_of(text, self._rules))
        holder = holder_of(text, key, self._rules)
        if self._keys.generation != self._generation:
            self._known.clear()
            self._generation = self._keys.generation
        while len(self._known) >= self._known_max:
            del self._known[next(iter(self._known))]
        self._known[digest] = holder
        return holder.principal
