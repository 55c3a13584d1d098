"""The gateway's nginx for the tests: deploy/nginx with upstreams of the test, a free port, in a folder of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debian import tool

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "deploy" / "nginx"
START_S = 10.0


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its address, and where its access log is."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def error_log(self) -> str:
        return (self.folder / "stderr").read_text()


def laid(folder: Path, upstreams: str, port: int) -> Path:
    """The shipped files in a folder, with other upstreams and another port; the path of nginx.conf."""
    for name in ("nginx.conf", "problems.conf"):
        shutil.copy(SHIPPED / name, folder / name)
    (folder / "upstreams.conf").write_text(upstreams)
    (folder / "listen.conf").write_text(f"listen 127.0.0.1:{port};\n")
    return folder / "nginx.conf"


def upstreams(servers: Mapping[str, Sequence[int]]) -> str:
    """Upstreams as the shipped ones, of ports on this machine; a part without any has one where nobody listens."""
    return "\n".join(
        f"upstream {part} {{ zone {part} 128k; "
        + " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports or [1])
        + " keepalive 64; keepalive_timeout 4s; }"
        for part, ports in servers.items()
    )


def checked(conf: Path) -> subprocess.CompletedProcess[str]:
    """What `nginx -t` says."""
    return subprocess.run([*_command(conf), "-t"], capture_output=True, text=True, timeout=20, check=False)


@contextlib.contextmanager
def gateway(folder: Path, servers: Mapping[str, Sequence[int]]) -> Iterator[Gateway]:
    """A running gateway before servers on this machine, by part."""
    port = free_port()
    conf = laid(folder, upstreams(servers), port)
    own = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen([*_command(conf), "-g", own], stdout=out, stderr=err)
        try:
            _await_port(process, port, folder)
            yield Gateway(port, folder)
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _command(conf: Path) -> list[str]:
    nginx = tool("nginx", ("nginx", "nginx-common"))
    return [str(nginx), "-e", "stderr", "-p", str(conf.parent), "-c", str(conf)]


def _await_port(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "stderr").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx does not listen after {START_S} s: {(folder / 'stderr').read_text()}")
