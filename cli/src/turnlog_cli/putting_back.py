"""`turnlog restore`: proves a backup, restores it into an empty database, and says what to do next."""

import asyncio
from pathlib import Path

from turnlog_cli.backing_up import MB, describe, facts, tell_differences
from turnlog_cli.backups.database import owner_database
from turnlog_cli.backups.errors import BackupError
from turnlog_cli.backups.failures import told_as
from turnlog_cli.backups.proving import prove
from turnlog_cli.backups.restoring import Restored, restore
from turnlog_cli.progress import Meter
from turnlog_cli.screen import Screen, count, marked
from turnlog_runtime.settings import SharedSettings


def put_back(
    settings: SharedSettings, data_dir: Path, path: Path, screen: Screen, *, keep_incarnation: bool, as_it_is: bool
) -> None:
    """Prove, restore, report. Raises `CommandError`: nothing was changed then."""
    with Meter(screen.err, "checking", "events", None, quiet=screen.as_json) as meter:
        proof = prove(path, lambda done, total: meter.at(done, done, total))
    describe(proof.header, screen)
    tell_differences(proof, screen)
    if not proof.ok and not as_it_is:
        raise BackupError("nothing was restored; --as-it-is restores it all the same")
    restored = asyncio.run(_restore(settings, data_dir, path, screen, proof.bytes, keep_incarnation=keep_incarnation))
    screen.fact(
        {"restored": True, "file": str(path)}
        | facts(restored.header, proof.manifest)
        | {"schema_now": restored.schema, "kept_incarnation": keep_incarnation, "live_keys": restored.live_keys}
        | {"logs_now": [{"log": log.log, "incarnation": log.incarnation} for log in restored.logs]}
        | {"differing": proof.differing, "seconds": round(proof.seconds + restored.seconds, 3)}
        | {"check_seconds": round(proof.seconds, 3), "load_seconds": round(restored.seconds, 3)}
    )
    _tell(restored, proof.seconds, screen, keep_incarnation=keep_incarnation)


async def _restore(
    settings: SharedSettings, data_dir: Path, path: Path, screen: Screen, size: int, *, keep_incarnation: bool
) -> Restored:
    with told_as("restored"), Meter(screen.err, "restoring", "MB", None, quiet=screen.as_json) as meter:
        async with owner_database(settings, data_dir, make=True) as dsn:
            return await restore(
                dsn, path, keep_incarnation=keep_incarnation, progress=lambda done: meter.at(done, done // MB, size)
            )


def _tell(restored: Restored, check_s: float, screen: Screen, *, keep_incarnation: bool) -> None:
    header, seconds = restored.header, max(restored.seconds, 1e-9)
    screen.say(
        marked(
            "✓",
            "green",
            f"restored and held to the backup: {count(header.events, 'event')} in {restored.seconds:.1f} s "
            f"({header.events / seconds:,.0f} events/s), after {check_s:.1f} s of checking",
        )
    )
    if restored.schema != header.schema:
        screen.say(f"  schema {header.schema} → {restored.schema}")
    if keep_incarnation:
        screen.say(
            "  incarnations kept: a JetStream that holds more than this backup has the writes of that log refused "
            "until `turnlog logs accept`"
        )
    else:
        screen.say("  each log has a new incarnation: no stream and no read model made before is met again")
    screen.say(
        f"  what was acknowledged after {header.taken_at} is not in it; clients may send it again with the same ids"
    )
    if restored.live_keys:
        screen.say(
            f"  {count(restored.live_keys, 'API key')} live, as at that time: a key revoked since then is valid again "
            "until you revoke it (`turnlog keys list`)"
        )
    screen.say("Next: start the services, then `turnlog rebuild` and `turnlog verify` for each log.")
