"""Identifiers: which strings may name a tenant, session, agent, user or turn, and new time-ordered ids."""

import re

import uuid_utils

from turnlog_events.errors import InvalidField

ID_MAX_CHARS = 200
DEFAULT_TENANT = "default"
DEFAULT_LOG = "main"
AGENT_SESSION_PREFIX = "~agent."

_ID = re.compile(r"[A-Za-z0-9._:@+\-#]{1,200}")
ID_PATTERN = r"^(?!\.{1,2}$)[A-Za-z0-9._:@+\-#]{1,200}$"
SESSION_ID_PATTERN = r"^(~agent\.)?(?!\.{1,2}$)[A-Za-z0-9._:@+\-#]{1,200}$"
"""What clients may send, as regular expressions that JSON Schema understands."""
_ID_RULE = "must be 1 to 200 characters of A-Z a-z 0-9 . _ : @ + - #, and neither '.' nor '..'"


def is_id(value: str) -> bool:
    """Whether a client may use `value` as an id."""
    return _ID.fullmatch(value) is not None and value != "." and value != ".."


def checked_id(value: str, field: str) -> str:
    """`value` itself, or `InvalidField` that names `field` and the rule."""
    if not is_id(value):
        raise InvalidField(field, _ID_RULE, "invalid_id")
    return value


def checked_session_id(value: str, field: str = "session_id") -> str:
    """Like `checked_id`, and also the reserved session of an agent (`~agent.<agent_id>`), which clients may
    name in paths to read what the tool endpoints stored there."""
    if value.startswith(AGENT_SESSION_PREFIX):
        checked_id(value[len(AGENT_SESSION_PREFIX) :], field)
        return value
    return checked_id(value, field)


def agent_session(agent_id: str) -> str:
    """The session that holds an agent's turns stored without a session id. `~` is in no client id, so it cannot
    meet a session that a client named."""
    return AGENT_SESSION_PREFIX + agent_id


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562) as text: 36 characters, ordered by creation time to the millisecond."""
    return str(uuid_utils.uuid7())
