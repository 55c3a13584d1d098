"""What a fault is: how it is made and healed, and what callers may experience while it lasts."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from faults.world import World

Make = Callable[[World, random.Random], AbstractAsyncContextManager[None]]

STORED: Final = frozenset({"stored"})
ANSWERED: Final = frozenset({"answered"})
NOT_STORED: Final = frozenset({"refused", "unknown"})
"""PostgreSQL is away from the entering to the leaving: who says "stored" then is wrong."""
SOMETIMES_STORED: Final = frozenset({"stored", "refused", "unknown"})
"""It comes and goes meanwhile."""
FROM_THE_MODELS: Final = frozenset({"answered", "stale"})
OR_REFUSED: Final = frozenset({"answered", "stale", "refused"})


@dataclass(frozen=True)
class Fault:
    """`apply(world, rng)` is an async context manager: entering makes the fault, leaving heals it.

    `row` is the row of the table of promises; `touches` what no other fault may touch at the same time (the second
    waits); `needs` are capabilities; `hold_s` is how long it is worth holding. `writes` and `reads` are the outcomes
    that calls answered by a running replica may have from the entering to the leaving; `warm_reads` is what of `reads`
    holds for a read without `min_version` of a session whose read models stood before: a stricter promise.
    """

    name: str
    row: str
    touches: tuple[str, ...]
    make: Make
    writes: frozenset[str] = STORED
    reads: frozenset[str] = ANSWERED
    warm_reads: frozenset[str] = ANSWERED
    needs: tuple[str, ...] = ()
    hold_s: float = 4.0

    @asynccontextmanager
    async def apply(self, world: World, rng: random.Random) -> AsyncIterator[None]:
        """Make it, and heal it on leaving, also after an error."""
        async with AsyncExitStack() as stack:
            for what in sorted(self.touches):
                await stack.enter_async_context(world.alone(what))
            await stack.enter_async_context(self.make(world, rng))
            yield
