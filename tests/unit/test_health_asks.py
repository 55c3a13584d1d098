"""Whoever asks /readyz or /metrics while dependencies are being asked has the same answer."""

import asyncio

import httpx
import orjson
from prometheus_client import REGISTRY

from turnlog_runtime.health import Check, Health, nothing


class Server:
    """A dependency that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.answers, self.away = 0, asyncio.Event(), False

    async def ask(self) -> None:
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise ConnectionError


async def until_asked(server: Server, times: int) -> None:
    async with asyncio.timeout(5):
        while server.asked < times:
            await asyncio.sleep(0)


async def test_many_askers_are_one_question_and_whoever_leaves_takes_nothing_from_the_others() -> None:
    server = Server()
    health = Health(nothing, {"postgres": Check(server.ask)}, service="asked-once")
    transport = httpx.ASGITransport(health)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        asking = [asyncio.create_task(http.get(path)) for path in ("/readyz", "/metrics") * 20]
        await until_asked(server, 1)
        asking[0].cancel()
        await asyncio.wait({asking[0]})
        server.answers.set()
        answers = await asyncio.gather(*asking[1:])
        assert server.asked == 1
        assert {answer.status_code for answer in answers} == {200}
        server.away = True
        late = await http.get("/readyz")
        assert (server.asked, late.status_code) == (2, 503)
        assert orjson.loads(late.content)["dependencies"] == {"postgres": "away"}
    labels = {"service": "asked-once", "dependency": "postgres"}
    assert REGISTRY.get_sample_value("turnlog_dependency_up", labels) == 0
