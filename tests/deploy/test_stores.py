"""What compose.yml gives the stores: passwords, and their settings, taken by the real PostgreSQL, NATS and Valkey."""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import asyncpg
import pytest
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from gateway_run import ROOT, free_port
from turnlog_embedded.binaries import find_nats, find_postgres, find_valkey

DEPLOY = ROOT / "deploy"
START_S = 10.0


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder of secrets, freshly made."""
    folder = tmp_path / "secrets"
    _made(folder)
    return folder


def _made(folder: Path) -> str:
    done = subprocess.run([DEPLOY / "secrets.sh", folder], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_secrets_are_made_once_and_for_their_owner_alone(secrets: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    assert _made(secrets) == ""
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    passwords = [value.strip() for name, value in before.items() if name.endswith("_password")]
    assert len(set(passwords)) == 5
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)


def test_a_secret_that_was_lost_is_made_again_and_the_others_stay(secrets: Path) -> None:
    before = (secrets / "redis_url").read_text()
    (secrets / "redis_auth").unlink()
    assert _made(secrets).split() == ["made", str(secrets / "redis_auth")]
    assert (secrets / "redis_auth").read_text().split()[1] in before


def test_the_scripts_need_nothing_but_a_posix_shell(tmp_path: Path) -> None:
    shell = shutil.which("dash")
    if shell is None:
        pytest.skip("there is no dash, the plainest of shells, on this machine")
    subprocess.run([shell, DEPLOY / "secrets.sh", tmp_path / "made"], check=True, capture_output=True)


@pytest.mark.parametrize("password", ["plain", 'it\'s "quoted" \\ and $spaced'])
async def test_the_role_gets_the_password_of_the_file(password: str, owner_dsn: str, tmp_path: Path) -> None:
    role = f"app_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    script = tmp_path / "roles.sql"
    script.write_text((DEPLOY / "postgres" / "roles.sql").read_text().replace("turnlog_app", role))
    (tmp_path / "password").write_text(password + "\n")
    _run_by_psql(script, owner_dsn, tmp_path / "password")
    connection = await asyncpg.connect(owner_dsn)
    try:
        found = await connection.fetchrow("select * from pg_authid where rolname = $1", role)
        assert found is not None
        assert _is_of(password, found["rolpassword"])
        assert (found["rolcanlogin"], found["rolsuper"], found["rolbypassrls"]) == (True, False, False)
    finally:
        await connection.execute(f"drop role if exists {role}")
        await connection.close()


def _run_by_psql(script: Path, dsn: str, password_file: Path) -> None:
    done = subprocess.run(
        [find_postgres().bin_dir / "psql", "-X", "-v", "ON_ERROR_STOP=1", dsn, "-f", script],
        env=os.environ | {"TURNLOG_APP_PASSWORD_FILE": str(password_file)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _is_of(password: str, verifier: str) -> bool:
    """Whether PostgreSQL would take the password: its SCRAM-SHA-256 verifier, recomputed (RFC 5803)."""
    method, costs, keys = verifier.split("$")
    rounds, salt = costs.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return method == "SCRAM-SHA-256" and base64.b64decode(keys.split(":")[0]) == stored


async def test_postgresql_knows_every_setting(owner_dsn: str) -> None:
    text = (DEPLOY / "postgres" / "postgres.conf").read_text()
    given = dict(re.findall(r"^(\w+)\s*=\s*([^#\n]+?)\s*(?:#.*)?$", text, re.MULTILINE))
    assert len(given) == len([line for line in text.splitlines() if line and not line.startswith("#")])
    connection = await asyncpg.connect(owner_dsn)
    try:
        rows = await connection.fetch("select name, vartype, enumvals from pg_settings where name = any($1)", [*given])
    finally:
        await connection.close()
    assert {row["name"] for row in rows} == given.keys()
    for row in rows:
        value = given[row["name"]].strip("'")
        if row["vartype"] == "bool":
            assert value in ("on", "off")
        elif row["vartype"] == "enum":
            # A build without lz4 does not list it; the one of the image has it.
            assert value in row["enumvals"] or (row["name"], value) == ("wal_compression", "lz4")
        elif row["vartype"] == "integer":
            assert re.fullmatch(r"-?\d+(kB|MB|GB|ms|s|min)?", value), row["name"]
    assert given["fsync"] == given["synchronous_commit"] == given["full_page_writes"] == "on"


def test_nats_takes_its_settings(secrets: Path, tmp_path: Path) -> None:
    conf = tmp_path / "etc" / "nats" / "turnlog.conf"
    conf.parent.mkdir(parents=True)
    shutil.copy(DEPLOY / "nats" / "nats.conf", conf)
    (tmp_path / "run").mkdir()
    secrets.rename(tmp_path / "run" / "secrets")
    done = subprocess.run([find_nats(), "-t", "-c", conf], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "run" / "secrets" / "nats_auth").unlink()
    done = subprocess.run([find_nats(), "-t", "-c", conf], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0, "without the file with the password NATS must not start"


async def test_valkey_takes_its_settings_and_asks_for_the_password(secrets: Path, tmp_path: Path) -> None:
    conf, port = tmp_path / "redis.conf", free_port()
    text = (DEPLOY / "redis" / "redis.conf").read_text()
    conf.write_text(text.replace("/run/secrets/", f"{secrets}/").replace("dir /data", f"dir {tmp_path}"))
    process = await asyncio.create_subprocess_exec(
        find_valkey(), conf, "--port", str(port), "--bind", "127.0.0.1", stdout=asyncio.subprocess.DEVNULL
    )
    address = (secrets / "redis_url").read_text().strip().replace("redis:6379", f"127.0.0.1:{port}")
    try:
        async with Redis.from_url(address) as redis:
            async with asyncio.timeout(START_S):
                while not await _answers(redis):
                    await asyncio.sleep(0.02)
            assert (await redis.config_get("maxmemory"))["maxmemory"] == str(768 << 20)
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        async with Redis(port=port) as stranger:
            with pytest.raises(redis_errors.AuthenticationError):
                await stranger.get("anything")
    finally:
        process.terminate()
        await process.wait()


async def _answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except redis_errors.ConnectionError:
        return False
