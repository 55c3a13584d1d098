"""What an API key looks like: `tl_<id>_<secret>`. Pure but for the randomness of `mint`.

The id is public: it is in listings, and may be in logs. The secret has 40 characters of 62, which is 238 random bits:
no slow hash is needed to keep it from being guessed, and SHA-256 of the whole credential is all that is stored.
"""

import re
import secrets
import string
from dataclasses import dataclass, field
from hashlib import sha256

KEY_PREFIX = b"tl_"
ID_CHARS, SECRET_CHARS = 12, 40
_ID_ALPHABET = string.ascii_lowercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(rb"tl_([a-z0-9]{12})_[A-Za-z0-9]{40}")


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key: `credential` is what its holder shows, once known to nobody else; `sha256` (32 bytes) is stored."""

    key_id: str
    credential: str = field(repr=False)
    sha256: bytes = field(repr=False)


def mint() -> MintedKey:
    """A key that never was."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_CHARS))
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(SECRET_CHARS))
    credential = f"tl_{key_id}_{secret}"
    return MintedKey(key_id, credential, key_digest(credential.encode()))


def key_digest(credential: bytes) -> bytes:
    """What is stored of a credential, and what it is looked for by: 32 bytes."""
    return sha256(credential).digest()


def key_id_of(credential: bytes) -> str | None:
    """The id in a key; None for what is no key."""
    found = _KEY.fullmatch(credential)
    return found[1].decode() if found is not None else None


def holds_key(text: bytes) -> bool:
    """Whether an API key stands anywhere in a text, such as a URL."""
    return KEY_PREFIX in text and _KEY.search(text) is not None
