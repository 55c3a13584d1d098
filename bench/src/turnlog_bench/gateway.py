"""nginx with the configuration that is shipped (`deploy/nginx`), in front of processes of this machine. Called by the
bench and by the tests of load balancing.

Only where to listen and where the services are is replaced; what a shipped server line says of failures is kept.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

SHIPPED = Path("deploy/nginx")
SYSTEM_PLACES = "/usr/sbin:/usr/local/sbin:/sbin"
START_S, STOP_S = 10.0, 10.0
_BLOCK = re.compile(r"^\s*upstream\s+(?P<name>\w+)\s*\{(?P<body>[^}]*)\}", re.MULTILINE)
_SERVER = re.compile(r"(?:(?<=;)|^)\s*server\s+(?P<address>[^\s;]+)(?P<parameters>[^;]*);", re.MULTILINE)


class GatewayFailed(Exception):
    """nginx cannot be had or does not start; the message says why."""


def program() -> Path:
    """The installed nginx. Raises `GatewayFailed` when there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path=SYSTEM_PLACES)
    if found is None:
        raise GatewayFailed("nginx is not installed (Debian: apt-get install nginx)")
    return Path(found)


def upstreams(shipped: str, ports: Mapping[str, Sequence[int]]) -> str:
    """The shipped upstreams with servers at these ports of this machine instead, by upstream: one line each, with the
    parameters of the first shipped one (but `resolve`). Upstreams that are not in `ports` get a server that refuses
    connections.

    Raises `GatewayFailed` when `ports` names an upstream that is not shipped, or a shipped one has no server.
    """
    missing = ports.keys() - {block["name"] for block in _BLOCK.finditer(shipped)}
    if missing:
        raise GatewayFailed(f"the shipped configuration has no upstream {min(missing)}")

    def replaced(block: re.Match[str]) -> str:
        first = _SERVER.search(block["body"])
        if first is None:
            raise GatewayFailed(f"the shipped upstream {block['name']} has no server")
        rest = _SERVER.sub("", block["body"])
        kept = first["parameters"].replace(" resolve", "")  # an address needs no looking up
        lines = [f"    server 127.0.0.1:{port}{kept};" for port in ports.get(block["name"], (1,))]
        return "\n".join([f"upstream {block['name']} {{", *lines, rest.strip("\n"), "}"])

    return _BLOCK.sub(replaced, shipped)


class Gateway:
    """A running nginx with a folder of its own for everything that it writes."""

    def __init__(self, nginx: Path, folder: Path, port: int) -> None:
        """`folder` may be empty or missing; `port` must be free."""
        self.url, self.port = f"http://127.0.0.1:{port}", port
        self._nginx, self._folder = nginx, folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its master process; the workers are that one's children."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What it said."""
        return (self._folder / "output.log").read_text(errors="replace")

    async def start(self, ports: Mapping[str, Sequence[int]], shipped: Path = SHIPPED) -> "Gateway":
        """Start it in front of services at `ports` (by upstream) and wait until it listens. Raises `GatewayFailed`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in ("nginx.conf", "upstreams.conf"):
            if not (shipped / name).is_file():
                raise GatewayFailed(f"{shipped / name} is missing: run from the repository's root")
        for path in shipped.glob("*.conf"):
            shutil.copy(path, self._folder)
        (self._folder / "upstreams.conf").write_text(upstreams((shipped / "upstreams.conf").read_text(), ports))
        (self._folder / "listen.conf").write_text(f"listen 127.0.0.1:{self.port};\n")
        as_root = "user root; " if os.geteuid() == 0 else ""  # else its workers could not write into the folder
        with (self._folder / "output.log").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._nginx), "-e", "stderr", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")),
                *("-g", f"{as_root}daemon off;"),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                while not await self._listens():
                    if self._process.returncode is not None:
                        raise GatewayFailed(f"nginx ended with status {self._process.returncode}: {self.log()[-600:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self.stop()
            raise GatewayFailed(f"nginx does not listen after {START_S:g} s: {self.log()[-600:]}") from None
        return self

    async def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    async def stop(self) -> None:
        """End it with its workers; nothing when it has ended."""
        for name in (signal.SIGTERM, signal.SIGKILL):
            if self._process is None or self._process.returncode is not None:
                return
            os.killpg(self._process.pid, name)
            await asyncio.wait({asyncio.ensure_future(self._process.wait())}, timeout=STOP_S)
