"""How both clients connect."""

import ipaddress
import os
from importlib.metadata import version
from typing import Any

import httpx

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 5.0
STREAM_TIMEOUT = httpx.Timeout(15.0, read=60.0)
"""Live streams carry a heartbeat well within a minute."""


def address(url: str | None) -> str:
    """The server's address: as given, else TURNLOG_URL, else this machine's port 8080."""
    return (url or os.environ.get("TURNLOG_URL") or DEFAULT_URL).rstrip("/")


def options(url: str, timeout_s: float, api_key: str | None = None, **more: Any) -> dict[str, Any]:
    """Arguments of httpx's clients. A server on this machine is never asked through a proxy. `api_key` falls back to
    TURNLOG_API_KEY; an empty one is none."""
    key = os.environ.get("TURNLOG_API_KEY") if api_key is None else api_key
    headers = {"user-agent": f"turnlog-python/{version('turnlog')}"}
    return {
        "headers": headers | ({"authorization": f"Bearer {key}"} if key else {}),
        "base_url": url,
        "timeout": timeout_of(timeout_s),
        "trust_env": not _is_local(url),
        "follow_redirects": False,
        **more,
    }


def timeout_of(seconds: float) -> httpx.Timeout:
    """The longest that each step of one attempt may take: connecting, sending, waiting for bytes."""
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_S))


def _is_local(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
