"""Whether a deployed Turnlog works, as a caller sees it: ready, a turn stored, the same not stored twice, read back.

    TURNLOG_URL=https://… TURNLOG_API_KEY=tl_… python3 .github/smoke.py --wait 120

Called by deploy.yml after an upgrade and after a rollback. Needs a key that may write and read; what it stores is one
turn in the session `deployment-checks`. Python's standard library only.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

SESSION = "deployment-checks"
ANSWER_S = 15.0
PAUSE_S = 1.0


class SmokeError(Exception):
    """It does not work; the message says what was asked and what came back."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def call(url: str, key: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call; its JSON. Raises `SmokeError` for everything but a success with a JSON object."""
    what = f"{'GET' if body is None else 'POST'} {url}"
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        with _OPENER.open(urllib.request.Request(url, data, headers), timeout=ANSWER_S) as answer:  # noqa: S310
            found = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise SmokeError(f"{what}: {error.code} {error.read(2_000).decode(errors='replace').strip()}") from None
    except (OSError, ValueError) as error:
        raise SmokeError(f"{what}: {error}") from None
    if not isinstance(found, dict):
        raise SmokeError(f"{what}: no JSON object")
    return found


def check(url: str, key: str) -> str:
    """Ask everything once; what was found, in words. Raises `SmokeError`."""
    call(f"{url}/readyz", "")
    turns = f"{url}/v1/sessions/{SESSION}/turns"
    turn = {"role": "user", "content": "Does it work?", "turn_id": f"check-{uuid.uuid4().hex}"}
    first, again = call(turns, key, turn), call(turns, key, turn)
    if (again["version"], again["position"], again["duplicate"]) != (first["version"], first["position"], True):
        raise SmokeError(f"the same turn twice: first {first}, then {again}")
    page = call(f"{turns}?limit=10&min_version={first['version']}", key)
    if turn["turn_id"] not in [item["turn_id"] for item in page["turns"]]:
        raise SmokeError(f"version {first['version']} was stored and is not among the recent turns")
    return f"stored at {first['log']}/{first['position']}, version {first['version']}, read back from {page['source']}"


def main(arguments: list[str]) -> int:
    """Check until it works or the time is over; the exit status."""
    parser = argparse.ArgumentParser(prog="smoke.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="go on trying for so many seconds")
    given = parser.parse_args(arguments)
    url, key = os.environ.get("TURNLOG_URL", "").rstrip("/"), os.environ.get("TURNLOG_API_KEY", "")
    if not url.startswith(("http://", "https://")):
        sys.stderr.write("smoke: TURNLOG_URL is not set to an address (http://… or https://…)\n")
        return 2
    deadline = time.monotonic() + given.wait
    while True:
        try:
            sys.stdout.write(f"it works: {check(url, key)}\n")
            return 0
        except (SmokeError, LookupError) as error:
            if time.monotonic() + PAUSE_S > deadline:
                sys.stderr.write(f"smoke: {error}\n")
                return 1
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
