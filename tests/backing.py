"""What the tests of backups and upgrades share: a database with some of everything in it, and all of its rows."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from making import mark, turn
from turnlog_events import event as ev
from turnlog_events.payloads import MemorySummarized, TurnsRetracted
from turnlog_eventstore import AppendRequest, Store

TENANTS, SESSIONS = ("acme", "bolt", "default"), 5


@dataclass
class Filler:
    """Appends turns of several tenants and sessions, now and then a retraction or a summary; knows what was stored."""

    store: Store
    log: str
    tenants: Sequence[str] = TENANTS
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    positions: int = 0

    async def add(self, turns: int, seed: int = 24) -> int:
        """So many turns more, in batches; the log's end."""
        chosen = random.Random(f"{seed}{self.log}")
        for first in range(0, turns, 50):
            batch = [self._turn(chosen) for _ in range(min(50, turns - first))]
            await self._append([AppendRequest((event,)) for event in batch])
            await self._append([AppendRequest((event,)) for event in self._marks(chosen)])
        return self.positions

    def _turn(self, chosen: random.Random) -> ev.NewEvent:
        tenant, session = chosen.choice(self.tenants), f"{self.log}-{chosen.randrange(SESSIONS)}"
        version = self.versions[tenant, session] = self.versions.get((tenant, session), 0) + 1
        content = f"Turn {version}: naïve café, 東京, \U0001f9ed. " + "word " * chosen.randrange(60)
        return turn(tenant, session, content, f"t{version}", agent_id=chosen.choice(["travel", "shop"]), user_id="ana")

    def _marks(self, chosen: random.Random) -> list[ev.NewEvent]:
        (tenant, session), version = chosen.choice(sorted(self.versions.items()))
        start = max(1, version - 3)
        node = MemorySummarized(start, version, 1, 1, f"About {start}..{version}.", (), "extractive", "p1", 90, 5)
        hidden = TurnsRetracted(version, version).to_json()
        return [
            mark(tenant, session, ev.SUMMARIZED, node.key, node.to_json(), correlation_id=f"task-{version}"),
            mark(tenant, session, ev.TURNS_RETRACTED, f"retract/{version}", hidden),
        ]

    async def _append(self, requests: list[AppendRequest]) -> None:
        await self.store.append(self.log, requests, 30)
        self.positions = (await self.store.head(self.log)).position


async def contents(owner_dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ours, sorted."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        names = await connection.fetch(
            "select relname from pg_class where relnamespace = 'turnlog'::regnamespace and relkind = 'r' order by 1"
        )
        found = {name: await connection.fetch(f"select * from turnlog.{name}") for (name,) in names}
    finally:
        await connection.close()
    return {name: sorted((tuple(row) for row in rows), key=repr) for name, rows in found.items()}


_SHAPE = """
with ours as (select oid from pg_class where relnamespace = 'turnlog'::regnamespace and relkind in ('r', 'v'))
select 'column', attrelid::regclass::text,
       concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attstorage)
from pg_attribute where attrelid in (table ours) and attnum > 0 and not attisdropped
union all
select 'constraint', conrelid::regclass::text, concat_ws(' ', conname, pg_get_constraintdef(oid))
from pg_constraint where connamespace = 'turnlog'::regnamespace
union all
select 'index', tablename, indexdef from pg_indexes where schemaname = 'turnlog'
union all
select 'trigger', tgrelid::regclass::text, concat_ws(' ', tgenabled, pg_get_triggerdef(oid))
from pg_trigger where not tgisinternal and tgrelid in (table ours)
union all
select 'policy', tablename, concat_ws(' ', policyname, roles, qual) from pg_policies where schemaname = 'turnlog'
union all
select 'function', proname, concat_ws(' ', md5(pg_get_functiondef(oid)), proacl)
from pg_proc where pronamespace = 'turnlog'::regnamespace and prokind = 'f'
union all
select 'table', relname, concat_ws(' ', relrowsecurity, relforcerowsecurity, relacl)
from pg_class where oid in (table ours)
"""


async def shape(owner_dsn: str) -> set[tuple[str, str, str]]:
    """Everything that the schema is made of: columns, constraints, indexes, triggers, policies, functions, grants."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        return {(kind, place, text) for kind, place, text in await connection.fetch(_SHAPE)}
    finally:
        await connection.close()
