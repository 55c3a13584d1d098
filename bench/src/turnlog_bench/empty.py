"""The yardstick server: FastAPI endpoints that validate and do nothing, served exactly as Turnlog's services are.

python -m turnlog_bench.empty PORT
"""

import asyncio
import sys
from typing import Any

from fastapi import FastAPI

from turnlog_ingest.turn_body import TurnBody
from turnlog_runtime.lifecycle import run, serving

api = FastAPI()


@api.post("/v1/sessions/{session_id}/turns", status_code=201)
async def store_turn(session_id: str, body: TurnBody) -> Any:
    """Validates the body that ingest validates, as FastAPI does it."""
    return {"ok": True}


@api.get("/empty")
async def empty() -> Any:
    """Takes nothing and does nothing."""
    return {"ok": True}


async def serve(stop: asyncio.Event) -> None:
    """Serve on the port given as the only argument."""
    async with serving(api, "127.0.0.1", int(sys.argv[1]), 5.0):
        await stop.wait()


if __name__ == "__main__":
    run(serve)
