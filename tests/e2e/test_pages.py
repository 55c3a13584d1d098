"""The pages for newcomers, followed literally: every shell block is run in order, as a user with a key would."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from system import System, environment

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/turns.md",
    "docs/context.md",
    "docs/audit.md",
    "docs/operate.md",
    "docs/metrics.md",
    "docs/observe.md",
    "docs/backup.md",
)
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ELSEWHERE = ("claude mcp add", "tl_…")
"""What only the reader's own machine has."""
_STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; echo; }\n'


def blocks(page: str) -> list[str]:
    """The page's shell blocks, without lines that only the reader can run."""
    found = _BLOCK.findall((ROOT / page).read_text())
    kept = ["".join(line for line in block.splitlines(True) if not _foreign(line)) for block in found]
    return [block for block in kept if block.strip()]


def _foreign(line: str) -> bool:
    return any(word in line for word in _ELSEWHERE)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A first start with credentials asked for, as `make up` makes it."""
    running = System(tmp_path_factory.mktemp("pages") / "data", TURNLOG_AUTH="required").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shell(system: System) -> dict[str, str]:
    """The reader's shell: the address, the key that the first start printed, and the command itself."""
    key = system.event("first_key")["key"]
    return environment(
        TURNLOG_AUTH="required",
        TURNLOG_URL=system.url,
        TURNLOG_API_KEY=key,
        TURNLOG_DATA_DIR=str(system.folder),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works_as_it_stands(page: str, shell: dict[str, str], tmp_path: Path) -> None:
    found = blocks(page)
    assert found, f"{page} has no shell block"
    for block in found:
        done = subprocess.run(
            ["bash", "-c", _STRICT + block],
            env=shell,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{page}:\n{block}\n{done.stdout}\n{done.stderr}"
        assert '"error"' not in done.stdout, f"{page}:\n{block}\n{done.stdout}"


def test_the_pages_link_only_to_what_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
