"""What runs beside the read API until it stops: the live hubs and the watch over PostgreSQL."""

import asyncio

from turnlog_query.deps import QueryDeps


async def background(deps: QueryDeps, stop: asyncio.Event) -> None:
    """Run until `stop` is set; then every live stream ends. Outages of any server are lived through."""
    async with asyncio.TaskGroup() as group:
        group.create_task(deps.hubs.run(stop), name="query-hubs")
        group.create_task(deps.watch.run(stop), name="query-watch")
