"""Credentials: API keys, access tokens, the gate that asks for them."""

from turnlog_access.door import Access, door, opened
from turnlog_access.key_format import MintedKey, key_digest, mint

__all__ = ["Access", "MintedKey", "door", "key_digest", "mint", "opened"]
