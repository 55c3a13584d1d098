"""Waiting for an event for a while."""

import asyncio


async def passed(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so long; whether it is set. (Not `wait_for`: Python 3.11 can lose a cancellation.)"""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
