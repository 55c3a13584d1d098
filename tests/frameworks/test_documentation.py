"""The pages for users: each snippet of the client's page runs, and no import of the client brings a framework."""

import asyncio
import builtins
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from system import System

DOCS = Path(__file__).parents[2] / "docs"
FRAMEWORKS = ["agents", "langgraph", "langchain_core", "pydantic_ai", "google.adk", "llama_index", "anthropic"]


def snippets(page: str) -> list[Any]:
    """The Python snippets of a page, named by the line they begin in."""
    text = (DOCS / page).read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [pytest.param(m[1], id=f"{page}:{text.count(chr(10), 0, m.start()) + 1}") for m in found]


async def run(snippet: str, address: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a snippet prints, run by itself against this server."""
    said: list[str] = []
    monkeypatch.setenv("TURNLOG_URL", address)
    with monkeypatch.context() as patched:
        patched.setattr(builtins, "print", lambda *words: said.append(" ".join(map(str, words))))
        await asyncio.to_thread(exec, compile(snippet, "snippet", "exec"), {"__name__": "snippet"})
    return said


@pytest.mark.parametrize("snippet", snippets("python.md"))
async def test_the_page_of_the_client_runs(snippet: str, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await run(snippet, system.url, monkeypatch)
    assert said
    promised = re.findall(r"print\([^\n]*\)  # (True|412 \w+|my\S+)", snippet)
    assert all(any(line.startswith(words) for line in said) for words in promised), (promised, said)


def test_the_page_has_every_part_it_should() -> None:
    assert len(snippets("python.md")) == 9


def test_no_framework_is_imported_by_the_client() -> None:
    imports = "import sys, turnlog_client, turnlog_client.steps, turnlog_client.frameworks"
    script = f"{imports}\nprint([m for m in {FRAMEWORKS} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "hidden", "extra"),
    [("openai_agents", "agents", "openai-agents"), ("langgraph", "langgraph", "langgraph")],
)
def test_a_missing_framework_names_what_to_install(module: str, hidden: str, extra: str) -> None:
    script = f"import sys\nsys.modules[{hidden!r}] = None\nimport turnlog_client.frameworks.{module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"pip install 'turnlog[{extra}]'" in done.stderr
