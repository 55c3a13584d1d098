"""Whose data a request may read. The only place that says so."""

from collections.abc import MutableMapping
from typing import Any

from turnlog_events.ids import DEFAULT_TENANT


def tenant_of(scope: MutableMapping[str, Any]) -> str:
    """The tenant of a request, from its ASGI scope; before credentials exist it is `default`."""
    return DEFAULT_TENANT
