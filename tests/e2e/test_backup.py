"""The drill: a data folder backed up, restored elsewhere and in its own place, with the same answers byte by byte."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import httpx
import pytest

from system import System, turnlog, until
from turnlog_client import Client, Unavailable

pytestmark = pytest.mark.timeout(300)  # several whole systems are started
INCARNATION = re.compile(r'"incarnation":"[0-9a-f]{32}",')
"""What a restore changes, and auditors are told."""
TURNS_AFTER = 5
SESSION = "after-the-backup"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short path: unix sockets are in it."""
    made = Path(tempfile.mkdtemp(prefix="turnlog-bk-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Drill:
    """A system with some of everything in it, its backup, and what it answered at that moment."""

    def __init__(self, place: Path, conversations: Path) -> None:
        self.folder, self.file = place / "data", place / "turnlog.backup"
        self.system = System(self.folder, TURNLOG_AUTH="required").start()
        try:
            self.key = self.system.event("first_key")["key"]
            self._fill(conversations)
            self.answers = answers(self.system, self.key)
            done = self.system.run("backup", str(self.file), "--json")
            assert done.returncode == 0, done.stderr
            self.report = json.loads(done.stdout)
            with self.system.client(self.key) as client:
                for number in range(TURNS_AFTER):
                    client.store(SESSION, "user", f"lost turn {number}")
        finally:
            self.system.stop()

    def _fill(self, conversations: Path) -> None:
        assert self.system.run("import", str(conversations)).returncode == 0
        with self.system.client(self.key) as client:
            client.store("trip", "user", "My flight to Lisbon is on Friday. ✈", turn_id="t1", agent_id="travel")
            client.store("trip", "assistant", "Noted.", turn_id="t2", agent_id="travel")
            client.retract("trip", 2, 2)
            client.compress(next(iter(client.sessions()))["session_id"], wait=True)
        assert self.system.run("keys", "create", "--tenant", "acme").returncode == 0


def answers(system: System, key: str) -> dict[str, str]:
    """What the API says, read models complete and asked of them."""
    found: dict[str, str] = {}
    with httpx.Client(base_url=system.url, headers={"authorization": f"Bearer {key}"}, trust_env=False) as http:
        sessions = [row["session_id"] for row in http.get("/v1/sessions?limit=200").json()["sessions"]]
        paths = ["/v1/sessions?limit=200", "/v1/logs/main/events?limit=1000"]
        for session in sessions:
            for what in ("/turns?limit=50", "/summary", "/context?max_tokens=1500&format=openai", ""):
                paths.append(f"/v1/sessions/{session}{what}")
        for path in paths:
            if path.startswith("/v1/sessions/"):
                until(lambda: '"source":"postgres"' not in http.get(path).text, f"{path} comes from Redis")  # noqa: B023
            found[path] = INCARNATION.sub("", http.get(path).text)
    assert len(found) > 8
    return found


@pytest.fixture(scope="module")
def drill(place: Path) -> Drill:
    return Drill(place, Path(str(resources.files("turnlog_cli").joinpath("sample.jsonl"))))


def green(system: System) -> None:
    """The steps that a restore names at its end."""
    for words in (("rebuild",), ("verify",)):
        done = system.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_backup_restored_elsewhere_gives_the_same_answers_to_the_same_key(drill: Drill, place: Path) -> None:
    checked = turnlog("backup", "--check", str(drill.file))
    assert checked.returncode == 0, checked.stderr
    assert "every hash and chain is right" in checked.stdout
    done = turnlog("restore", str(drill.file), "--data-dir", str(place / "new"))
    assert done.returncode == 0, done.stderr
    assert "turnlog rebuild" in done.stdout
    assert "a key revoked since then is valid again" in done.stdout
    elsewhere = System(place / "new", TURNLOG_AUTH="required").start()
    try:
        green(elsewhere)
        assert answers(elsewhere, drill.key) == drill.answers
        again = elsewhere.run("backup", str(place / "again"), "--json")
        found, said = json.loads(again.stdout)["logs"][0], drill.report["logs"][0]
        assert (found["position"], found["chain_hash"]) == (said["position"], said["chain_hash"])
        assert found["incarnation"] != said["incarnation"]
    finally:
        elsewhere.stop()


def test_a_data_folder_in_use_is_not_restored_over(drill: Drill) -> None:
    done = turnlog("restore", str(drill.file), "--data-dir", str(drill.folder))
    assert done.returncode == 2
    assert "never overwrites history" in done.stderr
    offline = turnlog("backup", str(drill.file.with_name("offline")), "--json", "--data-dir", str(drill.folder))
    assert offline.returncode == 0, offline.stderr
    assert json.loads(offline.stdout)["events"] == drill.report["events"] + TURNS_AFTER


def test_postgresql_restored_beside_the_old_stream_takes_writes_and_mixes_nothing(drill: Drill, place: Path) -> None:
    """NATS and Valkey of the folder remember turns that the backup has not."""
    copied = copy_without_postgres(drill.folder, place / "kept1")
    done = turnlog("restore", str(drill.file), "--data-dir", str(copied))
    assert done.returncode == 0, done.stderr
    system = System(copied, TURNLOG_AUTH="required").start()
    try:
        green(system)
        assert answers(system, drill.key) == drill.answers
        with system.client(drill.key) as client:
            stored = client.store(SESSION, "user", "another turn")
            assert stored.version == 1
            assert client.turns(SESSION, min_version=1)["turns"][0]["content"] == "another turn"
        assert system.run("verify").returncode == 0
    finally:
        system.stop()


def test_with_its_incarnation_kept_the_fence_asks_an_operator(drill: Drill, place: Path) -> None:
    copied = copy_without_postgres(drill.folder, place / "kept2")
    done = turnlog("restore", str(drill.file), "--keep-incarnation", "--data-dir", str(copied))
    assert done.returncode == 0, done.stderr
    assert "turnlog logs accept" in done.stdout
    system = System(copied, TURNLOG_AUTH="required").start()
    try:
        with httpx.Client(
            base_url=system.url, headers={"authorization": f"Bearer {drill.key}"}, trust_env=False
        ) as http:
            answer = http.post("/v1/sessions/s/turns", json={"role": "user", "content": "x"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_fenced")
        assert system.run("logs", "accept", "main", "--yes").returncode == 0
        with system.client(drill.key) as client:
            until(lambda: stores(client), "writes are taken again")
        green(system)
    finally:
        system.stop()


def stores(client: Client) -> bool:
    try:
        client.store("s", "user", "x")
    except Unavailable:
        return False
    return True


def copy_without_postgres(folder: Path, to: Path) -> Path:
    """A data folder whose PostgreSQL is lost and whose NATS and Valkey are not."""
    shutil.copytree(folder, to, ignore=lambda _, names: [n for n in names if n in ("postgres", "run", "holder.lock")])
    for path in (to, *to.rglob("*")):
        like = folder / path.relative_to(to)
        shutil.chown(path, like.stat().st_uid, like.stat().st_gid)
    return to
