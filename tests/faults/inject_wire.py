"""Faults of what is called over HTTP: the model, and the way between clients and our services."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.inject_fault import Fault, Make
from faults.inject_servers import half_open, refusing
from faults.model import Mode
from faults.world import World

MODEL = "model slow, refusing, garbage, half-open, 1 GB answer"
CUT = "request cut mid-body / answer lost"
ANSWER_BYTES = (0, 250)
REQUEST_BYTES = (1, 400)


def model_does(mode: Mode) -> Make:
    """The model behaves so."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        world.model.mode = mode
        try:
            yield
        finally:
            world.model.mode = "ok"

    return apply


def cut(proxy: str, *, answers: bool) -> Make:
    """Each connection to the first replica is reset after some bytes of its answers, or of its requests."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        try:
            if answers:
                world.proxies[proxy].cut_after(rng.randint(*ANSWER_BYTES))
            else:
                world.proxies[proxy].cut_after(bytes_up=rng.randint(*REQUEST_BYTES))
            yield
        finally:
            world.proxies[proxy].pass_on()

    return apply


FAULTS = (
    Fault("model-slow", MODEL, ("model",), model_does("slow")),
    Fault("model-refuses", MODEL, ("model",), model_does("refuses")),
    Fault("model-garbage", MODEL, ("model",), model_does("garbage")),
    Fault("model-half", MODEL, ("model",), model_does("half")),
    Fault("model-endless", MODEL, ("model",), model_does("endless")),
    Fault("model-silent", MODEL, ("model",), model_does("silent")),
    Fault("model-half-open", MODEL, ("model",), half_open("model")),
    Fault("model-unreachable", MODEL, ("model",), refusing("model")),
    Fault("answers-lost", CUT, ("wire",), cut("ingest", answers=True)),
    Fault("requests-cut", CUT, ("wire",), cut("ingest", answers=False)),
    Fault("ingest-half-open", CUT, ("wire",), half_open("ingest")),
    Fault("reads-cut", CUT, ("wire",), cut("query", answers=True)),
)
