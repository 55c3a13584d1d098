"""Asks the HTTP API whether it is ready, and for its metrics; looks at keys, settings and disks of this machine."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from turnlog_cli.addresses import Addresses
from turnlog_cli.diagnosis.findings import Finding, bad, note, size, well
from turnlog_cli.diagnosis.judge_api import judge_keys, judge_metrics, judge_no_metrics, judge_ready
from turnlog_cli.keys_at_start import LOCAL_NAME
from turnlog_cli.top.scrape import samples_of
from turnlog_eventstore import Administration, StoreError
from turnlog_runtime.door_settings import is_loopback
from turnlog_runtime.settings import ALL_SETTINGS, CompressorSettings, SharedSettings, read

STEP_S = 5.0
LITTLE_BYTES, VERY_LITTLE_BYTES = 5 << 30, 1 << 30
LITTLE_SHARE = 0.1


async def api(url: str, settings: SharedSettings) -> list[Finding]:
    """Whether the HTTP API answers, what it says of its dependencies, and what its metrics tell."""
    async with httpx.AsyncClient(trust_env=False, timeout=STEP_S) as http:
        try:
            answer = await http.get(f"{url}/readyz")
            body = answer.json()
            states = {str(name): str(state) for name, state in body["dependencies"].items()}
            ready = judge_ready(url, answer.status_code, str(body["status"]), states)
        except httpx.HTTPError as error:
            return [_no_answer(url, str(error) or type(error).__name__)]
        except (ValueError, LookupError, TypeError, AttributeError):
            means = "Commands would speak to somebody else."
            return [bad("API", f"{url} is not Turnlog", means, "give the right address with --url", "the-api")]
        place = _metrics_place(url, settings)
        try:
            text = (await http.get(f"{place}/metrics")).raise_for_status().text
            return [ready, *judge_metrics(place, samples_of(text), release())]
        except (httpx.HTTPError, ValueError) as error:
            return [ready, judge_no_metrics(place, str(error).split("\n")[0] or type(error).__name__)]


def _no_answer(url: str, why: str) -> Finding:
    return bad(
        "API",
        f"{url} does not answer: {why}",
        "Clients get no answer from it. What was acknowledged is safe; they may retry with the same ids.",
        "start `turnlog up` or the service, see logs/api.log; or give its address with --url",
        "the-api",
    )


def _metrics_place(url: str, settings: SharedSettings) -> str:
    if not settings.metrics_port:
        return url
    host = urlsplit(url).hostname or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.metrics_port}"


def release() -> str:
    """The version of this command."""
    try:
        return version("turnlog-cli")
    except PackageNotFoundError:
        return "unknown"


async def keys(found: Addresses, settings: SharedSettings) -> list[Finding]:
    """The API keys; nothing where the owner cannot be reached, which is told elsewhere."""
    owner = await Administration.open(found.database_owner_url, STEP_S)
    try:
        rows = await owner.keys()
    except StoreError:
        return []
    finally:
        await owner.close()
    return judge_keys(rows, datetime.now(UTC), LOCAL_NAME, required=settings.auth == "required")


def settings_here() -> list[Finding]:
    """The settings of this environment: wrong ones, and those that are allowed and yet want a second look."""
    readings = [read(kind, os.environ) for kind in ALL_SETTINGS]
    problems = dict.fromkeys(problem for reading in readings for problem in reading.problems)
    means = "A service that reads this environment does not start."
    found = [
        bad("settings", said, means, "mend it; `turnlog config` shows all settings", "settings") for said in problems
    ]
    found += [finding for reading in readings for finding in _second_look(reading.settings)]
    return found or [well("settings", "of this environment are in order; `turnlog config` shows them")]


def _second_look(settings: SharedSettings | None) -> Iterator[Finding]:
    if isinstance(settings, CompressorSettings):
        if settings.model_provider == "openai" and not settings.model_base_url and settings.model_api_key is None:
            yield bad(
                "settings",
                "TURNLOG_MODEL_PROVIDER is openai, and TURNLOG_MODEL_API_KEY is not set",
                "Every call of the model fails: summaries are made without it. Nothing is lost.",
                "set TURNLOG_MODEL_API_KEY (or TURNLOG_MODEL_API_KEY_FILE), or TURNLOG_MODEL_BASE_URL of a server that "
                "needs none",
                "the-model",
            )
        if settings.auth == "off" and settings.tenant_header and not is_loopback(settings.host):
            yield note(
                "settings",
                f"TURNLOG_AUTH=off on {settings.host}: {settings.tenant_header} names the tenant",
                "Whoever reaches the port without the proxy in front may read and write as any tenant.",
                "see that only the proxy reaches the port, and that it sets the header itself",
                "settings",
            )


async def disk(data_dir: Path) -> list[Finding]:
    """The room on the disk of the data folder, where there is one."""
    place = data_dir.expanduser().resolve()
    if not place.is_dir():
        return []
    total, _, free = await asyncio.to_thread(shutil.disk_usage, place)
    text = f"{size(free)} of {size(total)} are free at {place}"
    if free >= LITTLE_BYTES or free >= LITTLE_SHARE * total:
        return [well("disk", text, free_bytes=free, total_bytes=total)]
    return [
        (bad if free < VERY_LITTLE_BYTES else note)(
            "disk",
            text,
            "When it is full, writes are refused with 507 `disk_full`. Nothing is lost; they go on once there is room.",
            "give it room: a larger disk, or what else is on it. NATS and Valkey hold copies only",
            "disk-room",
            free_bytes=free,
            total_bytes=total,
        )
    ]
