"""/metrics of every replica, at one moment. Replicas that do not answer are part of the answer."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from urllib.parse import urlsplit

import httpx

from turnlog_cli.top.scrape import Snapshot, Source, samples_of

FETCH_S = 3.0
_NO_METRICS = "it has no metrics at this address; with TURNLOG_METRICS_PORT set they are on that port"


class Fetcher:
    """Asks the places that `places` names, each time anew. Close it with `close`."""

    def __init__(self, places: Callable[[], Iterable[str]]) -> None:
        """A place is a URL of a service; of a host name with several addresses each is a replica."""
        self._places = places
        self._http = httpx.AsyncClient(trust_env=False, timeout=FETCH_S)
        self._away_at_s: dict[str, float] = {}

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def snapshot(self) -> Snapshot:
        """What all answer now."""
        places = list(dict.fromkeys(self._places()))
        urls = await asyncio.gather(*(_replicas(place) for place in places))
        sources = await asyncio.gather(*(self._fetch(url) for url in dict.fromkeys(chain.from_iterable(urls))))
        at_s = time.monotonic()
        for source in sources:
            if source.away:
                self._away_at_s.setdefault(source.url, at_s)
            else:
                self._away_at_s.pop(source.url, None)
        return Snapshot(at_s, tuple(sources))

    def away_s(self) -> Mapping[str, float]:
        """For how long each that does not answer has been away, in seconds."""
        return {url: time.monotonic() - since for url, since in self._away_at_s.items()}

    async def _fetch(self, url: str) -> Source:
        try:
            async with asyncio.timeout(FETCH_S):
                answer = await self._http.get(f"{url}/metrics")
            if answer.status_code != 200:
                why = _NO_METRICS if answer.status_code == 404 else f"it answers {answer.status_code}"
                return Source(url, time.monotonic(), away=why)
            at_s = time.monotonic()
            return Source(url, at_s, await asyncio.to_thread(samples_of, answer.text))
        except (httpx.TimeoutException, TimeoutError):
            why = f"no answer within {FETCH_S:g} s"
        except httpx.ConnectError as error:
            why = _plain(error)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
        except ValueError:
            why = "what it answers is not Prometheus' text format"
        return Source(url, time.monotonic(), away=why)


async def _replicas(place: str) -> list[str]:
    """A URL for each address of a place: a balancer would answer for another replica each time. Itself when it names an
    address, cannot be resolved, or is HTTPS, where the name counts."""
    parts = urlsplit(place)
    if parts.scheme != "http" or not parts.hostname:
        return [place]
    try:
        async with asyncio.timeout(FETCH_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError):
        return [place]
    old = sorted({str(address[0]) for family, _, _, _, address in found if family == socket.AF_INET})
    new = sorted({str(address[0]) for family, _, _, _, address in found if family == socket.AF_INET6})
    if len(old or new) < 2:
        return [place]  # the same process may listen on both kinds
    port = f":{parts.port}" if parts.port else ""
    return [f"http://{host if ':' not in host else f'[{host}]'}{port}{parts.path}" for host in old or new]


def _plain(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        if isinstance(cause, socket.gaierror):
            return "its name is not known"
        cause = cause.__cause__ or cause.__context__
    return "the connection is refused" if "refused" in str(error) else str(error) or "it cannot be reached"
