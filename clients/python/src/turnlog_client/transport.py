"""How both clients connect."""

import ipaddress
from typing import Any

import httpx

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 5.0
STREAM_TIMEOUT = httpx.Timeout(15.0, read=60.0)
"""Live streams carry a heartbeat well within a minute."""


def options(url: str, timeout_s: float, api_key: str | None = None) -> dict[str, Any]:
    """Arguments of httpx's clients. A server on this machine is never asked through a proxy."""
    return {
        "headers": {"authorization": f"Bearer {api_key}"} if api_key else {},
        "base_url": url,
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
        "trust_env": not _is_local(url),
        "follow_redirects": False,
    }


def _is_local(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
