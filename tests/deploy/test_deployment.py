"""What deploy.yml puts onto a cluster is what build.yml pushed; and the check it ends with says what is wrong."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789" * 4
SMOKE = ROOT / ".github" / "smoke.py"
KNOWN = {"${GITHUB_REPOSITORY_OWNER,,}": "owner", "$COMMIT": COMMIT, "$GITHUB_SHA": COMMIT}


def workflow(name: str) -> str:
    return (ROOT / ".github" / "workflows" / name).read_text()


def known(text: str, **more: str) -> str:
    """The text as the shell would have it."""
    for name, value in (KNOWN | more).items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def pushed() -> set[str]:
    """The images that build.yml pushes for a commit."""
    text = workflow("build.yml")
    image = re.search(r'image="(\S+)"', text)
    targets = re.search(r"target: \[([a-z, ]+)\]", text)
    assert image
    assert targets
    assert 'echo "$image:$GITHUB_SHA"' in text
    return {known(image[1], **{"$TARGET": target}) + f":{COMMIT}" for target in targets[1].split(", ")}


def deployed() -> dict[str, Any]:
    """The chart's values that deploy.yml sets."""
    values: dict[str, Any] = {}
    for path, value in re.findall(r'--set-string "([\w.]+)=(\S+)"', workflow("deploy.yml")):
        place = values
        *parents, last = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = known(value)
    return values


def test_the_chart_runs_the_images_of_the_commit_and_no_others_of_ours() -> None:
    charted = pytest.importorskip("charted")
    rendered = charted.render({"secrets": charted.ADDRESSES, **deployed()})
    used = {container["image"] for _, pod in rendered.pods() for container in pod["spec"]["containers"]}
    ours = {image for image in used if "turnlog" in image}
    assert len(ours) > 4
    assert ours <= pushed()
    assert not [image for image in used - ours if "nginx" not in image]


def smoke(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """One run of the check, with nothing in its environment but what is given."""
    command = [sys.executable, str(SMOKE), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("url", ["", "memory.example.com", "file:///etc/passwd"])
def test_the_check_wants_an_address(url: str) -> None:
    done = smoke(TURNLOG_URL=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "TURNLOG_URL is not set to an address" in done.stderr


def test_the_check_says_who_does_not_answer() -> None:
    done = smoke(TURNLOG_URL="http://127.0.0.1:9/")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("smoke: GET http://127.0.0.1:9/readyz: ")
    assert "refused" in done.stderr


def test_the_check_goes_on_trying_as_long_as_it_may() -> None:
    assert smoke("--wait", "1.5", TURNLOG_URL="http://127.0.0.1:9").returncode == 1
