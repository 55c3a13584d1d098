"""`turnlog logs` and `turnlog tenants`: several logs in one deployment, and which tenant lives in which."""

import asyncio
from pathlib import Path

from turnlog_bus import Bus, BusError
from turnlog_cli.addresses import nats_url, owner_url
from turnlog_cli.errors import CommandError
from turnlog_cli.owner import as_owner
from turnlog_cli.screen import Screen, count, marked
from turnlog_eventstore import Store, StoreError, StoreSettings, UnknownLog
from turnlog_follow.fence import Comparison, compare
from turnlog_runtime.settings import SharedSettings

COMPARE_S = 5.0

ACCEPTING = """Accepting log {log} declares that what PostgreSQL holds of it, to position {position:,}, is the truth.
Do so only when what is missing cannot be had back: every turn that was acknowledged and is not in PostgreSQL now is
lost for good. Nothing in PostgreSQL changes but the log's incarnation: it gets a new stream, its read models are built
anew, and its writes, refused until now, are taken again. The old stream stays for you to look at, and to delete.
Run the command again with --yes to do it."""


def create_log(settings: SharedSettings, data_dir: Path, log: str, screen: Screen) -> None:
    """Create an empty log."""
    as_owner(settings, data_dir, lambda owner: owner.create_log(log))
    screen.fact({"log": log, "created": True})
    screen.say(marked("✓", "green", f"log {log} is there; running services write to it within seconds"))
    screen.say(f"  assign tenants to it before their first write: turnlog tenants assign TENANT {log}")


def list_logs(settings: SharedSettings, data_dir: Path, screen: Screen) -> None:
    """Every log: how far it is, its tenants, and how its stream compares."""
    rows = as_owner(settings, data_dir, lambda owner: owner.logs())
    compared = asyncio.run(_compared(settings, data_dir, [row.log for row in rows]))
    for row in rows:
        found = compared.get(row.log)
        stream_end = found.last if found is not None else None
        fenced = found.difference is not None if found is not None else None
        screen.fact(
            {
                "log": row.log,
                "incarnation": row.incarnation,
                "position": row.position,
                "tenants": row.tenants,
                "stream_end": stream_end,
                "fenced": fenced,
            }
        )
        stream = (
            "stream unknown" if found is None else "no stream" if found.last is None else f"stream at {found.last:,}"
        )
        others = "" if row.log == settings.log else f", {count(row.tenants, 'tenant')}"
        default = " (of all tenants without an assignment)" if row.log == settings.log else ""
        text = f"{row.log}{default}: position {row.position:,}, {stream}{others}, incarnation {row.incarnation[:12]}"
        screen.say(marked("✗", "red", text) if fenced else marked("✓", "green", text))
        if found is not None and found.difference is not None:
            screen.say(f"  writes are refused: {found.difference}")
            screen.say(f"  find out why; then `turnlog logs accept {row.log}` tells what accepting this means")


def accept_log(settings: SharedSettings, data_dir: Path, log: str, screen: Screen, *, sure: bool) -> None:
    """Accept what PostgreSQL holds of a log as the truth. Without `sure`, say what that means and do nothing."""
    if not sure:
        rows = as_owner(settings, data_dir, lambda owner: owner.logs())
        position = next((row.position for row in rows if row.log == log), None)
        if position is None:
            raise UnknownLog(log)
        raise CommandError(ACCEPTING.format(log=log, position=position))
    incarnation = as_owner(settings, data_dir, lambda owner: owner.accept(log))
    screen.fact({"log": log, "incarnation": incarnation})
    screen.say(marked("✓", "green", f"log {log} is accepted as it is: incarnation {incarnation[:12]}"))


def assign_tenant(settings: SharedSettings, data_dir: Path, tenant: str, log: str, screen: Screen) -> None:
    """Assign a tenant that has no event yet to a log."""
    from turnlog_events.ids import is_id

    if not is_id(tenant):
        raise CommandError(f"{tenant!r} is no tenant: 1 to 200 characters of A-Z a-z 0-9 . _ : @ + - #")
    as_owner(settings, data_dir, lambda owner: owner.assign(tenant, log))
    screen.fact({"tenant": tenant, "log": log})
    screen.say(marked("✓", "green", f"tenant {tenant} lives in log {log}"))


def list_tenants(settings: SharedSettings, data_dir: Path, screen: Screen) -> None:
    """Every tenant that is assigned to a log or has API keys: its log, and how many keys of it are live."""
    rows = as_owner(settings, data_dir, lambda owner: owner.tenants())
    for row in rows:
        at = row.assigned_at.isoformat() if row.assigned_at is not None else None
        log = row.log or settings.log
        screen.fact({"tenant": row.tenant, "log": log, "assigned_at": at, "keys": row.keys})
        screen.verbatim(f"{row.tenant}  {log}  {count(row.keys, 'live key')}")
    screen.say(f"every {'other ' if rows else ''}tenant lives in log {settings.log}")


async def _compared(settings: SharedSettings, data_dir: Path, logs: list[str]) -> dict[str, Comparison]:
    """How the stream of each log compares; empty while NATS cannot be asked."""
    address = nats_url(settings, data_dir)
    if not address:
        return {}
    bus = Bus(address)
    store = await Store.open(owner_url(settings, data_dir), StoreSettings(pool_connections=2, role="none"))
    found: dict[str, Comparison] = {}
    try:
        async with asyncio.timeout(COMPARE_S):
            for log in logs:
                found[log] = await compare(store, bus, log)
    except (BusError, StoreError, TimeoutError):
        return found
    finally:
        await store.close()
        await bus.close()
    return found
