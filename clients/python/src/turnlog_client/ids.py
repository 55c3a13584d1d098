"""Ids: fresh ones for turns, so that a retry is the same turn; and ids of Turnlog's alphabet for names of any kind."""

import hashlib
import re
import secrets
import time
import uuid

ID_MAX_CHARS = 200
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_ESCAPED = re.compile(r"[^A-Za-z0-9._:@-]", re.DOTALL)


def new_turn_id() -> str:
    """A fresh UUIDv7 (RFC 9562) as text: ordered by the millisecond it was made in, random within it."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = secrets.randbits(74)
    value = milliseconds << 80 | _VERSION | (random >> 62) << 64 | _VARIANT | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def as_id(name: str, prefix: str = "") -> str:
    """`prefix` and any text as one id; different texts give different ids.

    Letters, digits and `. _ : @ -` stay; everything else becomes `+` and the hexadecimal digits of its UTF-8 bytes
    (`my trip` → `my+20trip`). What would be longer than 200 characters keeps its beginning, and ends in `#` and the
    SHA-256 of the text.
    """
    text = prefix + escaped(name) or "+"  # nothing else ends in a bare +
    if len(text) <= ID_MAX_CHARS:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[: ID_MAX_CHARS - 1 - len(digest)]}#{digest}"


def escaped(text: str, more: str = "") -> str:
    """Any text in an id's alphabet, of any length; `name_of` gives it back. The characters of `more` do not stay
    either."""
    if text in (".", ".."):
        return text.replace(".", "+2E")
    whole = _ESCAPED.sub(_escape, text)
    for character in more:
        whole = whole.replace(character, f"+{ord(character):02X}")
    return whole


def name_of(session_id: str, prefix: str = "") -> str | None:
    """The text that `as_id` made an id of; None where only its hash is left, or `as_id` did not make it with this
    `prefix`."""
    if not session_id.startswith(prefix) or "#" in session_id:
        return None
    if session_id == "+":
        return ""
    rest = session_id[len(prefix) :].encode()
    data = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), rest)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def _escape(found: "re.Match[str]") -> str:
    return "".join(f"+{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
