"""The shipped nginx configuration in front of other servers: only addresses change."""

import re
from pathlib import Path

import pytest

from turnlog_bench.gateway import GatewayFailed, upstreams

SHIPPED = """
# where they are
upstream ingest {
    server ingest:8080 max_fails=2 fail_timeout=1s;
    keepalive 64;
}
upstream query { server query-1:8080 resolve; server query-2:8080 resolve; keepalive 32; }
"""


def test_each_port_has_a_line_with_the_shipped_parameters() -> None:
    made = upstreams(SHIPPED, {"ingest": (1001, 1002), "query": (2001,)})
    assert "server 127.0.0.1:1001 max_fails=2 fail_timeout=1s;" in made
    assert "server 127.0.0.1:1002 max_fails=2 fail_timeout=1s;" in made
    assert "server 127.0.0.1:2001;" in made
    assert "ingest:8080" not in made
    assert "query-" not in made


def test_what_is_no_address_stays() -> None:
    made = upstreams(SHIPPED, {"ingest": (1001,), "query": (2001,)})
    assert "keepalive 64;" in made
    assert "keepalive 32;" in made
    assert made.startswith("\n# where they are\n")


def test_an_upstream_without_servers_here_refuses() -> None:
    assert "server 127.0.0.1:1;" in upstreams(SHIPPED, {"ingest": (1001,)})


def test_an_upstream_that_is_not_shipped_is_an_error() -> None:
    with pytest.raises(GatewayFailed, match="no upstream mcp"):
        upstreams(SHIPPED, {"mcp": (1,)})


def test_a_shipped_upstream_without_a_server_is_an_error() -> None:
    with pytest.raises(GatewayFailed, match="query has no server"):
        upstreams("upstream query { keepalive 1; }", {"query": (1,)})


@pytest.mark.parametrize("path", ["nginx/upstreams.conf", "helm/turnlog/templates/gateway.yaml"])
def test_no_answer_to_one_caller_takes_a_replica_from_the_others(path: str) -> None:
    """nginx counts a 503 that it may ask elsewhere for as a failure of the replica, and leaves it out for all."""
    shipped = (Path(__file__).parents[2] / "deploy" / path).read_text()
    servers = re.findall(r"\bserver \S+:8080[^;]*;", shipped)
    assert servers
    assert [server for server in servers if "max_fails=0" not in server] == []
