"""A real Prometheus on a running system: the configuration of deploy/, other targets, a second between scrapes."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from debian import tool
from system import until

FOLDER = Path(__file__).parents[1] / "deploy" / "prometheus"
EVERY = "1s"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def configuration(targets: dict[str, str]) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml for these targets, each with its job."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    found["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    found["rule_files"] = [str(FOLDER / name) for name in found["rule_files"]]
    (scrape,) = found["scrape_configs"]
    del scrape["dns_sd_configs"], scrape["relabel_configs"]
    scrape["static_configs"] = [
        {"targets": [address], "labels": {"job": job}} for address, job in sorted(targets.items())
    ]
    return found


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=20)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """What it answers; an error of it fails the test."""
        answer = self._http.get(path, params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body.get('error')}"
        return body["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, now."""
        found: list[dict[str, Any]] = self.get("/query", query=expression)["result"]
        return found

    def labels_of(self, metric: str) -> set[str]:
        """The labels that the metric's series had at any time."""
        return {label for series in self.get("/series", **{"match[]": metric}) for label in series}


@contextlib.contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """Prometheus scraping `targets` (host:port → job) until the end of the block."""
    program = tool("prometheus", ("prometheus",))
    port = free_port()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(targets)))
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    asked = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: _ready(port, process, folder), "Prometheus is ready")
        yield asked
    finally:
        asked.close()
        process.terminate()
        process.wait(20)


def _ready(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    assert process.poll() is None, (folder / "prometheus.log").read_text()
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).is_success
    return False
