"""The embedded NATS server with JetStream: settings, secret, port, how to ask whether it serves."""

import asyncio
import json
import secrets
from urllib.parse import urlsplit

from turnlog_embedded.binaries import find_nats
from turnlog_embedded.child import Order
from turnlog_embedded.folder import Folder
from turnlog_embedded.readiness import State
from turnlog_embedded.recipe import Recipe, quoted, settings

NAME = "nats"
USER = "turnlog"
FREE_PORT = -1


def prepare(folder: Folder, port: int = FREE_PORT) -> Recipe:
    """Write the settings and say how to start the server; a restart gives the port that clients know."""
    for stale in folder.run.glob("*.ports"):
        stale.unlink()
    server_name = f"turnlog-{secrets.token_hex(8)}"
    values = {
        "server_name": quoted(server_name),
        "port": str(port),
        "run": quoted(str(folder.run)),
        "pid_file": quoted(str(folder.run / "nats.pid")),
        "user": USER,
        "password": quoted(_secret(folder)),
        "store_dir": quoted(str(folder.make(folder.data(NAME)))),
    }
    conf = folder.write(folder.run / "nats.conf", settings("nats.conf", values))
    argv = (str(find_nats()), "--config", str(conf))
    order = Order(NAME, argv, folder.data(NAME), folder.log(NAME), folder.account)
    return Recipe(order, lambda: ask(folder, server_name))


def port_of(folder: Folder) -> int | None:
    """The port that the running server wrote down, or None as long as it has not."""
    for path in folder.run.glob("*.ports"):
        try:
            return urlsplit(str(json.loads(path.read_text())["nats"][0])).port
        except (ValueError, LookupError):  # read while it was being written
            continue
    return None


def url(folder: Folder, port: int) -> str:
    """The server's address, with its user and secret."""
    return f"nats://{USER}:{_secret(folder)}@127.0.0.1:{port}"


async def ask(folder: Folder, server_name: str) -> State:
    """Whether our server, and no other that has taken the port, introduces itself with JetStream."""
    port = port_of(folder)
    if port is None:
        return State.SILENT
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        word, _, facts = (await reader.readline()).partition(b" ")
    finally:
        writer.close()
    if word != b"INFO":
        return State.SILENT
    info = json.loads(facts)
    ours = info.get("server_name") == server_name and info.get("jetstream") is True
    return State.READY if ours else State.SILENT


def _secret(folder: Folder) -> str:
    """The password: made once per data folder, kept in a file of mode 0600."""
    path = folder.run / "nats.secret"
    if not path.exists():
        folder.write(path, secrets.token_urlsafe(24))
    return path.read_text().strip()
