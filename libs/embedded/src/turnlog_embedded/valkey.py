"""The embedded Valkey: settings, how to ask whether it serves."""

import asyncio
from pathlib import Path
from urllib.parse import quote

from turnlog_embedded.binaries import find_valkey
from turnlog_embedded.child import Order
from turnlog_embedded.folder import Folder
from turnlog_embedded.readiness import State
from turnlog_embedded.recipe import Recipe, quoted, settings

NAME = "valkey"


def prepare(folder: Folder) -> Recipe:
    """Write the settings and say how to start the server."""
    data, socket = folder.make(folder.data(NAME)), _socket(folder)
    values = {"socket": quoted(str(socket)), "data": quoted(str(data))}
    conf = folder.write(folder.run / "valkey.conf", settings("valkey.conf", values))
    order = Order(NAME, (str(find_valkey()), str(conf)), data, folder.log(NAME), folder.account)
    return Recipe(order, lambda: ask(socket))


def url(folder: Folder) -> str:
    """The server's address, as redis-py reads it."""
    return f"unix://{quote(str(_socket(folder)))}?db=0"


async def ask(socket: Path) -> State:
    """PING. Raises OSError or EOFError when nobody answers."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(b"PING\r\n")
        answer = await reader.readuntil(b"\r\n")
    finally:
        writer.close()
    if answer.startswith(b"+PONG"):
        return State.READY
    return State.WORKING if answer.startswith(b"-LOADING") else State.SILENT


def _socket(folder: Folder) -> Path:
    return folder.sockets / "valkey.sock"
