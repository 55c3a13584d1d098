"""What a request costs beyond being one: said by the code that learns it, taken by whatever limits callers.

A gate that limits puts its `Charge` into the request's scope; the write path asks for it there. Where nothing limits,
everything is free.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Charge = Callable[[str, int], Awaitable[None]]
"""Takes a unit and how many of them. Raises `Problem` 429 when they are more than the caller has left; nothing was
taken then."""

REQUESTS, TURNS, COMPRESSIONS = "requests", "turns", "compressions"
_KEY = "turnlog.charge"


async def free(unit: str, amount: int) -> None:
    """Nothing is limited."""


def charge_of(scope: Scope) -> Charge:
    """How to charge the caller of a request, from its ASGI scope."""
    found: Charge = scope.get(_KEY, free)
    return found


def charge_by(scope: Scope, charge: Charge) -> None:
    """Say how the caller of a request is charged."""
    scope[_KEY] = charge
