"""Operations with a fault put in, to see that a walk finds it."""

from faults.steps.ground import Ground
from faults.steps.judging import answer_faults, events_of, log_faults, request_faults
from making import request, turn
from turnlog_events.ids import new_id

_REQUESTS = {"pair": ["pair#1", "pair#2"]}


class _Pair:
    """A request of two turns; what is checked is what `appending` checks."""

    async def prepare(self, ground: Ground) -> None:
        """An empty log."""

    async def after_crash(self, ground: Ground) -> list[str]:
        return await self._check(ground, all_stored=False)

    async def at_end(self, ground: Ground) -> list[str]:
        return await self._check(ground, all_stored=True)

    async def _check(self, ground: Ground, *, all_stored: bool) -> list[str]:
        async with ground.store() as store:
            events = await events_of(store, ground.log)
            wrong = await log_faults(store, ground.log, events)
            wrong += request_faults(events, _REQUESTS, all_stored=all_stored)
            return wrong + answer_faults(events, ground.answers)


class Sound(_Pair):
    """The two turns in one append: nothing is to be found."""

    async def operate(self, ground: Ground) -> None:
        async with ground.store() as store:
            turns = [turn(ground.tenant, "s", key, key=key) for key in _REQUESTS["pair"]]
            await store.append(ground.log, [request(*turns)])


class Torn(_Pair):
    """A write in two steps: a crash between them leaves half a request."""

    async def operate(self, ground: Ground) -> None:
        async with ground.store() as store:
            for key in _REQUESTS["pair"]:
                await store.append(ground.log, [request(turn(ground.tenant, "s", key, key=key))])


class Hasty(_Pair):
    """Acknowledges before it is stored."""

    async def operate(self, ground: Ground) -> None:
        async with ground.store() as store:
            turns = [turn(ground.tenant, "s", key, key=key) for key in _REQUESTS["pair"]]
            ground.acknowledge("pair", [[key, number] for number, key in enumerate(_REQUESTS["pair"], 1)])
            await store.append(ground.log, [request(*turns)])


class Forgetful(_Pair):
    """Makes a new id at each attempt, so that a repeat is stored again."""

    async def operate(self, ground: Ground) -> None:
        async with ground.store() as store:
            await store.append(ground.log, [request(turn(ground.tenant, "s", "hello", key=new_id()))])
