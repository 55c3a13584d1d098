"""The embedded PostgreSQL: its cluster, its settings, how to ask whether it serves."""

import asyncio
import contextlib
import os
import signal
import struct
import sys
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from turnlog_embedded.binaries import PostgresBinaries, answers, find_postgres
from turnlog_embedded.child import Order
from turnlog_embedded.errors import ForeignMajor, ServerFailed
from turnlog_embedded.folder import POSTGRES_SOCKET, Folder, fsync_folder, wipe
from turnlog_embedded.readiness import State
from turnlog_embedded.recipe import Recipe, RunTool, settings
from turnlog_embedded.server_lock import last_pid

NAME = "postgres"
OWNER = "turnlog"
APP = "turnlog_app"
SIDE_FOLDER = "postgres.new"
PROTOCOL_3 = 196608
FIRST_WITH_BUILTIN_LOCALES = 17
CANNOT_CONNECT_NOW = b"57P03"  # starting up, recovering or shutting down


def dsn(folder: Folder, user: str) -> str:
    """The address of the database `turnlog` for a role, as asyncpg and libpq read it."""
    return f"postgresql://{user}@/turnlog?host={quote(str(folder.sockets), safe='')}&port=5432"


async def prepare(folder: Folder, run_tool: RunTool) -> Recipe:
    """Make the cluster if there is none, write the settings, and say how to start the server.

    Raises ForeignMajor when the cluster is of another major version, ServerFailed when it cannot be made or
    the folder holds something else.
    """
    binaries, cluster = await asyncio.to_thread(find_postgres), folder.data(NAME)
    if not (cluster / "PG_VERSION").exists():
        await _create(folder, binaries, run_tool)
    found = int((cluster / "PG_VERSION").read_text().split(".")[0])
    if found != binaries.major:
        raise ForeignMajor(found, binaries.major)
    _forget_the_dead(folder)
    values = {
        "sockets": _literal(_list_entry(folder.sockets)),
        "wal_compression": await _wal_compression(binaries, cluster),
    }
    folder.write(cluster / "turnlog.conf", settings("postgres.conf", values))
    order = _order(folder, (str(binaries.postgres), "-D", str(cluster)), cwd=cluster)
    return Recipe(order, lambda: ask(folder.sockets / POSTGRES_SOCKET))


async def ask(socket: Path) -> State:
    """Whether the server lets a session begin. Raises OSError or EOFError when nobody answers."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        body = struct.pack("!i", PROTOCOL_3) + f"user\0{OWNER}\0database\0postgres\0\0".encode()
        writer.write(struct.pack("!i", len(body) + 4) + body)
        while True:
            kind, length = struct.unpack("!ci", await reader.readexactly(5))
            message = await reader.readexactly(length - 4)
            if kind == b"Z":
                writer.write(b"X" + struct.pack("!i", 4))
                return State.READY
            if kind == b"E":
                busy = b"C" + CANNOT_CONNECT_NOW + b"\0" in message
                return State.WORKING if busy else State.READY  # any other refusal is a serving server's
    finally:
        writer.close()


async def _create(folder: Folder, binaries: PostgresBinaries, run_tool: RunTool) -> None:
    """Make a cluster beside its place and rename it there: an interrupted start leaves nothing half-made."""
    cluster, side = folder.data(NAME), folder.data(SIDE_FOLDER)
    if cluster.exists() and any(cluster.iterdir()):
        raise ServerFailed(NAME, "", reason=f"has no cluster in {cluster}, but other files; move them away")
    await asyncio.to_thread(wipe, side)
    folder.make(side)
    data = ("-D", str(side))
    locale = (
        ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        if binaries.major >= FIRST_WITH_BUILTIN_LOCALES
        else ()
    )
    access = ("--auth-local=trust", "--auth-host=reject")  # the folder of the socket is the gate
    shape = ("-U", OWNER, "--encoding=UTF8", "--locale=C", *locale, "--data-checksums", *access)
    initdb = str(binaries.initdb)
    await run_tool(_tool(folder, (initdb, *data, *shape, "--no-sync"), cwd=side))
    with (side / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write("\ninclude_if_exists 'turnlog.conf'\n")
    with resources.as_file(resources.files("turnlog_embedded").joinpath("bootstrap.sql")) as script:
        single = (str(binaries.postgres), "--single", *data, "-c", "exit_on_error=on", "postgres")
        await run_tool(_tool(folder, single, cwd=side, stdin=script))
    await run_tool(_tool(folder, (initdb, *data, "--sync-only"), cwd=side))
    side.rename(cluster)
    fsync_folder(folder.root)


def _order(folder: Folder, argv: tuple[str, ...], *, cwd: Path) -> Order:
    fast, immediate = signal.SIGINT, signal.SIGQUIT
    log, account = folder.log(NAME), folder.account
    return Order(NAME, argv, cwd, log, account, None, stop_signal=fast, hard_signal=immediate, death_signal=fast)


def _tool(folder: Folder, argv: tuple[str, ...], *, cwd: Path, stdin: Path | None = None) -> Order:
    kill = signal.SIGKILL  # half-made is worth nothing: no reason to wait for it
    log, account = folder.log(NAME), folder.account
    return Order(NAME, argv, cwd, log, account, stdin, stop_signal=kill, hard_signal=kill, death_signal=kill)


def _forget_the_dead(folder: Folder) -> None:
    """Remove the lock files of a killed server where PostgreSQL would believe them and refuse to start.

    It asks whether the pid lives, and is misled when the pid was given again, or is a zombie that nobody collects
    (a container whose first process does not). We hold the server's lock, so the last server that we started is gone;
    one started by hand may live, so another pid is believed unless its process is surely no PostgreSQL.
    """
    pid_file = folder.data(NAME) / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(pid_file.read_text().split()[0])
        if pid == last_pid(folder.lock(NAME)) or _is_no_postgres(pid):
            pid_file.unlink()
    if not pid_file.exists():
        for name in (POSTGRES_SOCKET, POSTGRES_SOCKET + ".lock"):
            (folder.sockets / name).unlink(missing_ok=True)


def _is_no_postgres(pid: int) -> bool:
    if sys.platform != "linux":
        return False  # PostgreSQL's own check decides
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() != "postgres"
    except OSError:
        return True


async def _wal_compression(binaries: PostgresBinaries, cluster: Path) -> str:
    """lz4 where this build knows it. Not pglz otherwise: its CPU costs more than the WAL it saves."""
    asked = ("-D", str(cluster), "-C", "wal_compression", "-c", "wal_compression=lz4")
    return "lz4" if await asyncio.to_thread(answers, binaries.postgres, *asked) else "off"


def _list_entry(path: Path) -> str:
    return '"' + os.fspath(path).replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
