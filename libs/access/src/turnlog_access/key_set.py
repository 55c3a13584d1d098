"""The issuer's public keys: a JWK Set (RFC 7517) as bytes → the keys that may have signed an access token. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jwt import PyJWK, PyJWTError

KEYS_MAX = 100
RSA_MIN_BITS = 2_048
_PRIVATE = frozenset({"d", "k"})


class BadKeySet(Exception):
    """What the issuer answered is no set of keys, or holds none that may be used."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their `kid`; each verifies one algorithm. `nameless` is the key of a set of one that has no `kid`."""

    by_kid: Mapping[str, PyJWK]
    nameless: PyJWK | None = None

    def find(self, kid: str | None) -> PyJWK | None:
        """The key that a token names. A token that names none is of the only key there is."""
        if kid is not None:
            return self.by_kid.get(kid)
        if self.nameless is not None:
            return self.nameless
        return next(iter(self.by_kid.values())) if len(self.by_kid) == 1 else None


def key_set(document: bytes, algorithms: Collection[str]) -> KeySet:
    """The keys of a document that may be used with one of `algorithms`. Keys of another kind or use are passed over, as
    are secret ones, which have no place there. Raises `BadKeySet`."""
    try:
        found = json.loads(document)["keys"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise BadKeySet("the answer is no JWK Set") from None
    if not isinstance(found, list) or len(found) > KEYS_MAX:
        raise BadKeySet(f"keys must be a list of at most {KEYS_MAX}")
    usable = [(item.get("kid"), key) for item in found if (key := _usable(item, algorithms)) is not None]
    by_kid = {kid: key for kid, key in usable if isinstance(kid, str)}
    nameless = [key for kid, key in usable if kid is None]
    if not usable:
        raise BadKeySet("no key is of an algorithm that is taken (TURNLOG_JWT_ALGORITHMS)")
    return KeySet(by_kid, nameless[0] if len(usable) == len(nameless) == 1 else None)


def _usable(item: Any, algorithms: Collection[str]) -> PyJWK | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or _PRIVATE & item.keys():
        return None
    try:
        key = PyJWK(item)
    except (PyJWTError, ValueError, TypeError, AttributeError):
        return None
    too_short = key.key_type == "RSA" and key.key.key_size < RSA_MIN_BITS
    return key if key.algorithm_name in algorithms and not too_short else None
