"""`turnlog backup`: takes a backup, or proves one, and says what is in it."""

import asyncio
import sys
from pathlib import Path
from typing import Any, BinaryIO

from turnlog_cli.backups.database import owner_database
from turnlog_cli.backups.errors import BackupError
from turnlog_cli.backups.failures import told_as
from turnlog_cli.backups.format import Header, Manifest
from turnlog_cli.backups.proving import Proof, prove
from turnlog_cli.backups.side_file import side_file
from turnlog_cli.backups.taking import Taken, take
from turnlog_cli.escape import one_line
from turnlog_cli.progress import Meter
from turnlog_cli.screen import Screen, count, marked
from turnlog_runtime.settings import SharedSettings

MB = 1_000_000


def back_up(settings: SharedSettings, data_dir: Path, file: str, screen: Screen, *, force: bool) -> None:
    """Write a backup to a file, or with `-` to standard output, and report. Raises `CommandError`."""
    if file == "-":
        if sys.stdout.isatty():
            raise BackupError("a backup is no text: send standard output to a file or a program")
        taken = asyncio.run(_take(settings, data_dir, sys.stdout.buffer, screen))
        sys.stdout.buffer.flush()
    else:
        with side_file(Path(file), force=force) as target:
            taken = asyncio.run(_take(settings, data_dir, target, screen))
    _report(taken, file, screen)


def check_backup(path: Path, screen: Screen) -> int:
    """Prove a backup and report; the exit status: 1 when the history in it is not what its hashes say."""
    with Meter(screen.err, "checking", "events", None, quiet=screen.as_json) as meter:
        proof = prove(path, lambda done, total: meter.at(done, done, total))
    screen.fact(
        {"ok": proof.ok, "file": str(path)}
        | facts(proof.header, proof.manifest)
        | {"bytes": proof.bytes, "differing": proof.differing, "differences": proof.differences}
        | {"seconds": round(proof.seconds, 3)}
    )
    describe(proof.header, screen)
    tell_differences(proof, screen)
    if proof.ok:
        rate = proof.header.events / max(proof.seconds, 1e-9)
        screen.say(
            marked(
                "✓",
                "green",
                f"the file is whole; every hash and chain is right ({proof.seconds:.1f} s, {rate:,.0f} events/s)",
            )
        )
    return 0 if proof.ok else 1


def facts(header: Header, manifest: Manifest) -> dict[str, Any]:
    """What a backup is of, for machines."""
    return {
        "format": header.format,
        "turnlog": header.turnlog,
        "schema": header.schema,
        "postgresql": header.server,
        "taken_at": header.taken_at,
        "events": header.events,
        "logs": [
            {"log": log.log, "incarnation": log.incarnation, "position": log.position, "chain_hash": log.chain_hash}
            for log in header.logs
        ],
        "rows": {table.name: manifest.rows(table.name) for table in header.tables},
    }


def describe(header: Header, screen: Screen) -> None:
    """What a backup is of, for people."""
    screen.say(
        f"backup of {header.taken_at} by Turnlog {one_line(header.turnlog)} (schema {one_line(header.schema)}, "
        f"PostgreSQL {one_line(header.server)})"
    )
    for log in header.logs:
        chain = f", chain {log.chain_hash[:16]}…" if log.position else ""
        screen.say(f"  log {one_line(log.log)}: {count(log.position, 'event')}{chain}")


def tell_differences(proof: Proof, screen: Screen) -> None:
    """Where the history in a backup is not what its hashes say."""
    if proof.ok:
        return
    screen.say(
        marked("✗", "red", f"{count(proof.differing, 'difference')}: the file is whole, the history in it is not")
    )
    for difference in proof.differences[:10]:
        screen.say(f"  {one_line(difference)}")
    screen.say(
        "History was changed in PostgreSQL before this backup was taken: look for an older backup, and find out who "
        "could."
    )


async def _take(settings: SharedSettings, data_dir: Path, target: BinaryIO, screen: Screen) -> Taken:
    with told_as("backed up"), Meter(screen.err, "backing up", "MB", None, quiet=screen.as_json) as meter:
        async with owner_database(settings, data_dir) as dsn:
            return await take(dsn, target, lambda done, total: meter.at(done, done // MB, total))


def _report(taken: Taken, file: str, screen: Screen) -> None:
    keys = taken.manifest.rows("api_keys")
    seconds = max(taken.seconds, 1e-9)
    if file == "-":
        screen = Screen(as_json=screen.as_json)
        screen.out = screen.err
    if file != "-" or not screen.as_json:
        screen.fact(
            {"file": file}
            | facts(taken.header, taken.manifest)
            | {"bytes": taken.bytes, "rows_bytes": taken.rows_bytes, "seconds": round(taken.seconds, 3)}
            | {"standby": taken.standby}
        )
    describe(taken.header, screen)
    screen.say(
        f"  {count(keys, 'API key')}, as hashes; every conversation in the clear: keep the file as you keep the "
        "database"
    )
    if taken.standby:
        screen.say("  taken from a stand-by: what had not reached it then is not in it")
    screen.say(
        marked(
            "✓",
            "green",
            f"{file}: {taken.bytes / MB:,.1f} MB in {taken.seconds:.1f} s "
            f"({taken.header.events / seconds:,.0f} events/s; {taken.rows_bytes / MB / seconds:,.1f} MB/s of rows)",
        )
    )
    if file != "-":
        screen.say(f"  prove it at any time, without a server: turnlog backup --check {file}")
