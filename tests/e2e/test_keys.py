"""`turnlog up` with credentials asked for, and `turnlog keys`: real processes, from the first key to a revoked one."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from system import System, environment, turnlog, until
from turnlog_client import ApiError


@pytest.fixture(scope="module")
def guarded() -> Iterator[System]:
    """A system that asks for credentials, as it is unless told otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="turnlog-keys-"))
    running = System(folder / "data", TURNLOG_AUTH="required").start()
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


def made(system: System, *words: str) -> dict[str, Any]:
    done = system.run("keys", "create", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def listed(system: System, *words: str) -> dict[str, dict[str, Any]]:
    done = system.run("keys", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}


def status(system: System, key: str | None, path: str = "/v1/sessions") -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.get(f"{system.url}{path}", headers=headers, trust_env=False).status_code


def test_the_first_start_makes_a_key_and_says_it_once(guarded: System) -> None:
    first = guarded.event("first_key")
    assert (first["tenant"], sorted(first["scopes"])) == ("default", ["audit:read", "memory:read", "memory:write"])
    assert [status(guarded, key) for key in (first["key"], None)] == [200, 401]
    with guarded.client(first["key"]) as client:
        assert client.store("hello", "user", "My flight is on Friday.").version == 1
        assert client.context("hello", format="text")["version"] == 1
    logs = b"".join(path.read_bytes() for path in (guarded.folder / "logs").glob("*.log"))
    assert first["key"].encode() not in logs


def test_commands_on_this_machine_need_no_key_to_be_shown(guarded: System) -> None:
    line = json.dumps({"session_id": "imported", "role": "user", "content": "from a file"})
    done = guarded.run("import", "-", "--json", input=line + "\n")
    assert (done.returncode, json.loads(done.stdout)["stored"]) == (0, 1), done.stderr
    exported = guarded.run("export", "-", "--session", "imported")
    assert json.loads(exported.stdout)["content"] == "from a file"
    assert guarded.run("doctor").returncode == 0
    place = guarded.folder / "run" / "addresses.json"
    assert place.stat().st_mode & 0o777 == 0o600


def test_keys_are_made_listed_used_and_revoked(guarded: System) -> None:
    made_key = made(guarded, "--tenant", "acme", "--name", "travel agent", "--expires-days", "30")
    assert made_key["scopes"] == ["memory:read", "memory:write"]
    row = listed(guarded, "--tenant", "acme")[made_key["id"]]
    assert (row["name"], row["state"], row["last_used_at"]) == ("travel agent", "live", None)
    assert row["expires_at"] is not None
    assert [status(guarded, made_key["key"], path) for path in ("/v1/sessions", "/v1/logs/main")] == [200, 403]
    told = guarded.run("keys", "list").stdout
    assert "travel agent" in told
    assert made_key["key"][-40:] not in told
    tenants = {
        row["tenant"]: row for row in map(json.loads, guarded.run("tenants", "list", "--json").stdout.splitlines())
    }
    assert (tenants["acme"]["keys"], tenants["acme"]["log"]) == (1, "main")
    assert guarded.run("keys", "revoke", made_key["key"]).returncode == 0  # a whole key that was pasted does as well
    until(lambda: status(guarded, made_key["key"]) == 401, "the key is refused", 5.0)
    assert listed(guarded, "--tenant", "acme", "--all")[made_key["id"]]["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "--tenant", "a/b"), "is no tenant"),
        (("create", "--scope", "memory:delete"), "is no scope"),
        (("revoke", "aaaaaaaaaaaa"), "turnlog keys list --all"),
    ],
)
def test_refusals_say_what_to_do(guarded: System, words: tuple[str, ...], told: str) -> None:
    done = guarded.run("keys", *words)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_remote_api_gets_the_key_of_the_environment_and_never_the_local_one(guarded: System) -> None:
    elsewhere = {"TURNLOG_URL": guarded.url.replace("127.0.0.1", "localhost")}
    refused = guarded.run("export", "-", env=environment(**elsewhere))
    assert (refused.returncode, "TURNLOG_API_KEY" in refused.stderr) == (2, True), refused.stderr
    key = made(guarded, "--scope", "audit:read")["key"]
    assert guarded.run("export", "-", env=environment(**elsewhere, TURNLOG_API_KEY=key)).returncode == 0
    every = made(guarded, "--tenant", "operator", "--scope", "admin")["key"]
    made_other = made(guarded, "--tenant", "beta")["key"]
    with guarded.client(made_other) as client:
        client.store("x", "user", "of beta")
    done = guarded.run("export", "-", env=environment(**elsewhere, TURNLOG_API_KEY=every))
    assert (done.returncode, "sees every tenant" in done.stderr) == (2, True), done.stderr


def test_without_the_owner_it_says_what_to_set(guarded: System, tmp_path: Path) -> None:
    app = guarded.addresses()["database_url"]
    done = turnlog("keys", "create", "--data-dir", str(tmp_path), env=environment(TURNLOG_DATABASE_URL=app))
    assert (done.returncode, "TURNLOG_DATABASE_OWNER_URL" in done.stderr) == (2, True), done.stderr
    nothing = turnlog("keys", "create", "--data-dir", str(tmp_path))
    assert (nothing.returncode, "TURNLOG_DATABASE_OWNER_URL" in nothing.stderr) == (2, True), nothing.stderr


def test_after_everything_was_killed_the_local_key_is_another_and_no_second_first_key_is_made(guarded: System) -> None:
    first, killed = guarded.event("first_key")["key"], guarded.addresses()["api_key"]
    guarded.kill_everything()
    guarded.start()
    assert [event for event in guarded.events() if event["event"] == "first_key"] == []
    assert [status(guarded, key) for key in (killed, guarded.addresses()["api_key"], first)] == [401, 200, 200]
    with guarded.client() as client, pytest.raises(ApiError) as refused:
        client.session("hello")
    assert refused.value.status == 401
