"""Real PostgreSQL, NATS and Valkey under one data folder: no Docker, no root.

In goes a data folder and which servers are wanted; out come their addresses. `turnlog up` and the tests
call it. It imports nothing else of Turnlog: what it returns are addresses like those of any server.
"""

from turnlog_embedded.errors import (
    BinaryMissing,
    EmbeddedError,
    FolderInUse,
    FolderNotOurs,
    ForeignMajor,
    NotServed,
    ServerFailed,
)
from turnlog_embedded.hold import Holder, hold
from turnlog_embedded.servers import Servers, ServerSpec, start

__all__ = [
    "BinaryMissing",
    "EmbeddedError",
    "FolderInUse",
    "FolderNotOurs",
    "ForeignMajor",
    "Holder",
    "NotServed",
    "ServerFailed",
    "ServerSpec",
    "Servers",
    "hold",
    "start",
]
