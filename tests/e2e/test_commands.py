"""The other commands on a running system."""

import json
import subprocess
import sys
import threading
from typing import Any

from system import System, environment, turnlog, until


def line(session: str, content: str, **more: Any) -> str:
    return json.dumps({"session_id": session, "role": "user", "content": content, **more})


def test_import_derives_ids_so_that_a_repeat_adds_nothing(loaded: System) -> None:
    text = "\n".join(line("e2e-derived", "same words") for _ in range(3)) + "\n"
    reports = [json.loads(loaded.run("import", "-", "--json", input=text).stdout) for _ in range(2)]
    assert [(r["stored"], r["duplicates"]) for r in reports] == [(3, 0), (0, 3)]


def test_import_names_refused_lines_and_stores_the_others(loaded: System) -> None:
    text = "\n".join([line("e2e-mixed", "one"), "", "{broken", line("e2e-mixed", "two", role="king")]) + "\n"
    done = loaded.run("import", "-", "--json", input=text)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["stored"] == 1
    assert [refusal["line"] for refusal in report["refusals"]] == [3, 4]
    told = loaded.run("import", "-", input=text)
    assert "line 4 refused: role:" in told.stderr
    assert "1 duplicate" in told.stdout


def test_tail_shows_each_event_on_a_line_of_its_own_without_control_characters(loaded: System) -> None:
    with loaded.client() as client:
        client.store("e2e-ansi", "user", "red \x1b[31malert\x1b[0m\nand\u202e more")
    done = loaded.run("tail", "--no-follow", "-n", "1")
    assert done.returncode == 0, done.stderr
    (shown,) = done.stdout.splitlines()
    assert shown.endswith("user red \\x1b[31malert\\x1b[0m⏎ and\\u202e more")
    as_json = loaded.run("tail", "--no-follow", "-n", "1", "--json").stdout
    exported = loaded.run("export", "-", "--session", "e2e-ansi").stdout
    for line, turn in ((as_json, json.loads(as_json)["payload"]), (exported, json.loads(exported))):
        assert turn["content"] == "red \x1b[31malert\x1b[0m\nand\u202e more"
        assert line.rstrip("\n").isprintable()


def test_tail_follows_what_comes(loaded: System) -> None:
    command = [sys.executable, "-m", "turnlog_cli", "tail", "-n", "0", "--json", "--data-dir", str(loaded.folder)]
    with loaded.client() as client, subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as tailing:
        assert tailing.stdout is not None
        # It follows from some moment on: what is stored after that moment must come.
        numbers = iter(range(1_000))
        seen: list[bytes] = []
        reader = threading.Thread(target=lambda: seen.append(tailing.stdout.readline()))  # type: ignore[union-attr]
        reader.start()
        until(lambda: client.store("e2e-tail", "user", f"turn {next(numbers)}") and seen, "tail shows a turn")
        tailing.terminate()
        reader.join()
    assert json.loads(seen[0])["session_id"] == "e2e-tail"


def test_rebuild_is_byte_identical_and_verify_is_green(loaded: System) -> None:
    rebuilt = loaded.run("rebuild", "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert json.loads(rebuilt.stdout)["identical"] is True
    verified = loaded.run("verify", "--json")
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["ok"] is True


def test_rebuild_can_be_tried_taken_back_and_done_in_part(loaded: System) -> None:
    dry = json.loads(loaded.run("rebuild", "--dry-run", "--json").stdout)
    assert (dry["identical"], dry["switched"], dry["kept_generation"]) == (True, False, None)
    done = json.loads(loaded.run("rebuild", "--rate", "0", "--keep", "600", "--json").stdout)
    assert (done["switched"], done["keep_s"]) == (True, 600)
    back = loaded.run("rebuild", "--rollback")
    assert back.returncode == 0, back.stderr
    assert f"back to generation {done['kept_generation']}" in back.stdout
    part = json.loads(loaded.run("rebuild", "--from", str(done["position"] - 1), "--json").stdout)
    assert (part["sessions"] > 0, part["differing"]) == (True, [])
    for wrong in (("--projection", "sesions"), ("--dry-run", "--rollback")):
        refused = loaded.run("rebuild", *wrong)
        assert refused.returncode == 2
        assert "sessions" in refused.stderr or "do not go together" in refused.stderr


def test_doctor_finds_nothing_to_do(loaded: System) -> None:
    with loaded.client() as client:
        position = client.log()["position"]
    done = loaded.run("doctor", "--json")
    findings = {f["subject"]: f for f in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout
    assert findings["log"]["position"] >= position
    assert {"API", "PostgreSQL", "NATS", "stream", "Redis", "read models", "compressor"} <= set(findings)


def test_migrate_finds_the_schema_done(loaded: System) -> None:
    done = loaded.run("migrate")
    assert done.returncode == 0, done.stderr
    assert "already" in done.stdout


def test_one_openapi_document_describes_writes_and_reads(loaded: System) -> None:
    import httpx

    document = httpx.get(f"{loaded.url}/openapi.json", trust_env=False).json()
    assert set(document["paths"]["/v1/sessions/{session_id}/turns"]) == {"post", "delete", "get"}
    assert "/v1/turns" in document["paths"]


def test_errors_say_what_to_do_and_hold_no_traceback(loaded: System, tmp_path: Any) -> None:
    for done, advice in (
        (loaded.run("export", "--session", "nobody"), "no such session"),
        (turnlog("verify", "--data-dir", str(tmp_path / "empty")), "start `turnlog up`"),
    ):
        assert done.returncode == 2
        assert advice in done.stderr
        assert "Traceback" not in done.stderr
