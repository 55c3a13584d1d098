"""Looks again and again, and keeps what the next look is compared with."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from turnlog_cli import addresses
from turnlog_cli.errors import CommandError
from turnlog_cli.top.change import Change
from turnlog_cli.top.fetching import Fetcher
from turnlog_cli.top.scrape import Snapshot
from turnlog_cli.top.servers import Known, stores_of
from turnlog_cli.top.view import Stores, View
from turnlog_cli.top.viewing import view_of
from turnlog_runtime.settings import SharedSettings

STORES_EVERY_S = 5.0


class Watch:
    """The whole, looked at as often as `look` is called. Close it with `close`."""

    def __init__(self, fetcher: Fetcher, known: Callable[[], Known]) -> None:
        self._fetcher, self._known = fetcher, known
        self._before: Snapshot | None = None
        self._stores = Stores()
        self._asking: asyncio.Task[Stores] | None = None
        self._asked_at_s = 0.0

    async def close(self) -> None:
        """End its connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await self._fetcher.close()

    async def look(self, *, whole: bool = False) -> View:
        """What there is now, with rates since the look before; `whole` waits for the servers' answers, else they come
        with a later look."""
        self._ask_stores()
        now = await self._fetcher.snapshot()
        if self._asking is not None and (whole or self._asking.done()):
            self._stores, self._asking = await self._asking, None
        change = Change(self._before or now, now)
        self._before = now
        return view_of(change, datetime.now().astimezone(), self._fetcher.away_s(), self._stores)

    def _ask_stores(self) -> None:
        now_s = time.monotonic()
        if self._asking is None and (not self._asked_at_s or now_s - self._asked_at_s >= STORES_EVERY_S):
            self._asked_at_s = now_s
            self._asking = asyncio.create_task(stores_of(self._known()))


def watch_of(settings: SharedSettings, data_dir: Path, urls: list[str]) -> Watch:
    """A watch of the given addresses, else of the API as other commands find it, also when what runs in the data folder
    is started anew. Raises `CommandError`."""
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"{url} is no address: give one like http://127.0.0.1:9464")
    if urls:
        given = [url.rstrip("/").removesuffix("/metrics") for url in urls]
        return Watch(Fetcher(lambda: given), lambda: _servers(settings, None))
    last = _metrics_of(addresses.api(None, data_dir).url, settings)
    elsewhere = _elsewhere(data_dir)

    def places() -> list[str]:
        nonlocal last
        if not elsewhere and (found := addresses.running_in(data_dir)) is not None:
            last = _metrics_of(found.url, settings)
        return [last]

    return Watch(Fetcher(places), lambda: _servers(settings, None if elsewhere else data_dir))


def _elsewhere(data_dir: Path) -> bool:
    """Whether the address in the environment is another than that of what runs in the data folder: readers of the docs
    have the very same one there."""
    given = os.environ.get(addresses.URL_VARIABLE)
    if given is None:
        return False
    found = addresses.running_in(data_dir)
    return found is None or found.url != given.rstrip("/")


def _metrics_of(url: str, settings: SharedSettings) -> str:
    """Where an API's metrics are: beside it, or on the port that the settings name."""
    if not settings.metrics_port:
        return url
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{settings.metrics_port}"


def _servers(settings: SharedSettings, data_dir: Path | None) -> Known:
    """Each server's address: from its setting, else of what runs in the data folder, when that is what we watch."""
    found = addresses.running_in(data_dir) if data_dir is not None else None

    def url(*settings: SecretStr | None) -> str:
        return next(
            (value for setting in settings if setting is not None and (value := setting.get_secret_value())), ""
        )

    return Known(
        url(settings.database_owner_url, settings.database_url) or (found.database_owner_url if found else ""),
        url(settings.nats_url) or (found.nats_url if found else ""),
        url(settings.redis_url) or (found.redis_url if found else ""),
    )
