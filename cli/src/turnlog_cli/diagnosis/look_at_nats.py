"""Asks NATS for what `judge_nats` judges, and looks at each log's stream."""

import asyncio
from collections.abc import Sequence

import nats.errors

from turnlog_bus import Bus, BusError, StreamMissing
from turnlog_cli.diagnosis.findings import Finding, bad, not_reached, note
from turnlog_cli.diagnosis.judge_nats import SUBJECT, NatsSeen, judge_nats
from turnlog_cli.diagnosis.of_logs import stream
from turnlog_eventstore import LogHead, Store, StoreError

STEP_S = 3.0


async def nats_server(url: str, store: Store, heads: Sequence[LogHead]) -> list[Finding]:
    """NATS and the stream of each log."""
    bus = Bus(url)
    try:
        server = judge_nats(await _seen(bus))
        return [*server, *await asyncio.gather(*(stream(bus, store, head) for head in heads))]
    except StreamMissing:
        return [
            bad(
                SUBJECT,
                "answers, and has no JetStream for us",
                "Writes and reads go on. Followers read PostgreSQL, up to a second later.",
                "turn JetStream on (`jetstream { store_dir: … }`), for this account too",
                "nats",
            )
        ]
    except (BusError, OSError, TimeoutError, nats.errors.Error) as error:
        return [nats_away(error)]
    except StoreError as error:
        return [
            note(SUBJECT, f"answers; streams were not compared: {error}", "See PostgreSQL.", "see PostgreSQL", "nats")
        ]
    finally:
        await bus.close()


def nats_away(error: object) -> Finding:
    """It does not answer."""
    return bad(
        SUBJECT,
        not_reached(SUBJECT, error),
        "Writes and reads go on. Read models, summaries and live streams follow PostgreSQL, up to a second later.",
        "start it, or let it go on if it is paused; see its log (logs/nats.log for `turnlog up`); check "
        "TURNLOG_NATS_URL",
        "nats",
    )


async def _seen(bus: Bus) -> NatsSeen:
    client = await bus.client()
    version = client.connected_server_version
    account = await bus.bounded(client.jetstream(timeout=STEP_S).account_info(), STEP_S)
    return NatsSeen(
        version=(version.major, version.minor, version.patch),
        max_payload_bytes=client.max_payload,
        store_bytes=account.storage or 0,
        store_limit_bytes=account.limits.max_storage or -1,
        streams=account.streams or 0,
        streams_limit=account.limits.max_streams or -1,
    )
