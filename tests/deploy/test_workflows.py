"""The workflows of GitHub Actions: clean by actionlint and zizmor, pinned, and true about what is in the repository."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: (?P<what>[\w./-]+)@(?P<pin>[0-9a-f]{40}) # v\d+\.\d+\.\d+$")
OURS = re.compile(r"uses: (?P<path>\./\S+) # zizmor: ignore\[self-repository\]$")
NAMED_PATH = re.compile(r"(?<![\w./$}\\-])((?:\.github|deploy|docs|tests|\.ci)/[\w./-]+)")
MADE_BY = re.compile(r"\bmake ([a-z-]+)")


def program(name: str) -> str:
    """A tool of the development group."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        pytest.skip(f"{name} is not installed: its wheels are for Linux")
    return str(found)


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in document(path)["jobs"].items():
            yield f"{path.name}: {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for where, job in jobs():
        for step in job.get("steps", []):
            yield where, step


def test_there_are_the_four_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["build.yml", "ci.yml", "deploy.yml", "release.yml"]


def test_actionlint_finds_nothing() -> None:
    done = run(program("actionlint"), "-no-color")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_actionlint_would_find_something(tmp_path: Path) -> None:
    """The check above can fail: a job that needs one that is not there."""
    path = tmp_path / "broken.yml"
    path.write_text("on: push\njobs:\n  a:\n    needs: b\n    runs-on: ubuntu-24.04\n    steps: [{run: 'true'}]\n")
    assert run(program("actionlint"), str(path)).returncode == 1


def test_zizmor_finds_nothing_even_when_pedantic() -> None:
    done = run(program("zizmor"), "--offline", "--pedantic", "--no-progress", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    """The check above can fail: what somebody writes into a title would be run."""
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    path = tmp_path / ".github" / "workflows" / "broken.yml"
    path.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    done = run(program("zizmor"), "--offline", "--no-progress", str(path))
    assert done.returncode != 0
    assert "template-injection" in done.stdout


def test_every_action_is_pinned_by_its_commit_and_one_commit_each() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in path.read_text().splitlines():
            if "uses:" not in line:
                continue
            ours = OURS.search(line)
            if ours:
                assert (ROOT / ours["path"]).is_file(), line
                continue
            pinned = PINNED.search(line)
            assert pinned, f"{path.name}: {line.strip()}"
            pins.setdefault(pinned["what"], set()).add(line.split("@", 1)[1])
    assert len(pins) > 5
    assert {what: pin for what, pin in pins.items() if len(pin) > 1} == {}


def test_every_job_is_bounded_and_has_the_least_rights() -> None:
    for path in WORKFLOWS:
        assert document(path)["permissions"] == {}, f"{path.name}: rights are given job by job"
        assert "concurrency" in document(path)
    for where, job in jobs():
        assert "permissions" in job, where
        if "uses" not in job:
            assert 0 < int(job["timeout-minutes"]) <= 60, where


def test_no_checkout_leaves_a_credential_behind() -> None:
    found = [(where, step) for where, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert found
    for where, step in found:
        assert step["with"]["persist-credentials"] == "false", where


def test_paths_that_workflows_name_exist() -> None:
    named = {name.rstrip(".") for path in WORKFLOWS for name in NAMED_PATH.findall(path.read_text())}
    assert {".github/release.py", ".github/smoke.py", "deploy/Dockerfile", "deploy/helm/turnlog"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_make_targets_that_workflows_call_exist() -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {target for _, step in steps() for target in MADE_BY.findall(step.get("run", ""))}
    assert {"lint", "types", "imports", "test", "faults", "demo"} <= called
    assert called <= rules


def test_an_image_is_built_for_each_service_and_the_commands_and_all_are_verified() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    workflow = document(ROOT / ".github" / "workflows" / "build.yml")
    built = workflow["jobs"]["image"]["strategy"]["matrix"]["target"]
    services = {path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}
    assert set(built) == services | {"cli"}
    assert set(built) <= targets
    verified = re.search(r"for target in ([a-z ]+);", (ROOT / ".github" / "workflows" / "deploy.yml").read_text())
    assert verified
    assert verified[1].split() == built


def test_every_python_that_the_packages_promise_is_tested() -> None:
    promised = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert promised
    tested = document(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tested[0] == f"3.{promised[1]}"
    assert tested == ["3.11", "3.12", "3.13"]


def test_dependabot_renews_what_is_pinned() -> None:
    found = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    assert {one["package-ecosystem"] for one in found["updates"]} == {"github-actions", "uv", "docker"}
