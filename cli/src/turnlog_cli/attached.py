"""The API of a data folder, whoever runs it: attached to what runs there, else started by ourselves.

Several programs may each start `turnlog mcp` on one folder. The first holds it and runs the system for all; when it
leaves, the next call of another finds nothing running and takes over. Called by `speaking_mcp.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from turnlog_cli.addresses import Addresses, running_in
from turnlog_cli.stack import READY_S, Plan, running
from turnlog_cli.worker import Say
from turnlog_client import AsyncClient, RetryPolicy
from turnlog_embedded import FolderInUse
from turnlog_mcp.api import Asked, ClientApi

LOOK_S = 0.1


class AttachedApi:
    """Turnlog in the folder of `plan`, for one caller; `turnlog_mcp.api.Api`. Use it with `async with`."""

    def __init__(self, plan: Plan, api_key: str | None, call_s: float, say: Say) -> None:
        self._plan, self._api_key, self._call_s, self._say = plan, api_key, call_s, say
        self._folder = plan.data_dir.expanduser().resolve()
        self._finding = asyncio.Lock()
        self._cleanup = AsyncExitStack()
        self._ours = False
        self._client: AsyncClient | None = None
        self._addresses: Addresses | None = None

    async def __aenter__(self) -> Self:
        """Attach or start, and raise what `running` raises when neither can be done."""
        try:
            await self._found()
        except BaseException:
            await self._cleanup.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._cleanup.aclose()

    @asynccontextmanager
    async def for_caller(self, request: Asked, operation: str = "") -> AsyncIterator[AsyncClient]:
        """See `turnlog_mcp.api.Api`."""
        async with ClientApi(await self._found(), self._call_s).for_caller(request) as client:
            yield client

    async def _found(self) -> AsyncClient:
        """The client of what runs in the folder now, started if nothing does."""
        async with self._finding:
            if self._ours and self._client is not None:
                return self._client
            deadline = asyncio.get_running_loop().time() + READY_S
            while (found := running_in(self._folder)) is None:
                try:
                    stack = await self._cleanup.enter_async_context(running(self._plan, self._say))
                except FolderInUse:  # somebody else starts or stops it this moment
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(LOOK_S)
                else:
                    self._ours = True
                    return await self._client_of(stack.addresses)
            return await self._client_of(found)

    async def _client_of(self, found: Addresses) -> AsyncClient:
        """A client of what runs, made anew for another run: that has another key for commands on this machine."""
        if self._client is None or self._addresses != found:
            key = self._api_key or found.api_key or None
            client = AsyncClient(found.url, api_key=key, retry=RetryPolicy(total_s=self._call_s))
            self._client = await self._cleanup.enter_async_context(client)
            self._addresses = found
        return self._client
