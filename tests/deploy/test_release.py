"""Making a release: notes from the changelog, one version everywhere, the step to the next."""

import datetime as dt
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
TODAY = dt.date(2026, 1, 31)
CHANGELOG = """# Changelog

All notable changes.

## Unreleased

### Added

- Something new.

## [0.2.0] - 2026-01-02

### Fixed

- A hole in the log of `main`.

### Changed

- ## is not a heading here.

## 0.1.0 - 2025-12-01

- The first.
"""


def loaded() -> ModuleType:
    specification = importlib.util.spec_from_file_location("release", ROOT / ".github" / "release.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["release"] = module
    specification.loader.exec_module(module)
    return module


release = loaded()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of everything that says a version, and a changelog with something unreleased."""
    for path, _ in release.places(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.replace("## 0.1.0 - 2025-12-01", "## 0.0.9 - 2025-12-01"))
    return tmp_path


def test_notes_are_the_versions_section_without_its_heading() -> None:
    notes = release.section(CHANGELOG, "0.2.0")
    assert notes.startswith("### Fixed\n\n- A hole")
    assert notes.endswith("- ## is not a heading here.\n")
    assert release.section(CHANGELOG, "0.1.0") == "- The first.\n"


def test_a_version_that_is_a_part_of_another_is_not_found() -> None:
    with pytest.raises(release.ReleaseError, match=r"no section of 0\.2:"):
        release.section(CHANGELOG, "0.2")


@pytest.mark.parametrize(
    "changelog, message",
    [
        ("# Changelog\n", "has no section of 0.3.0"),
        ("## 0.3.0 - 2026-01-01\n\n### Added\n\n## 0.2.0 - 2026-01-01\n- x\n", "says nothing of 0.3.0"),
        ("## 0.3.0 - 2026-01-01\n", "says nothing of 0.3.0"),
        ("## 0.3.0\n\n- x\n", "has no date"),
        ("## 0.3.0 - 2026-01-01\n- x\n## 0.3.0 - 2026-01-01\n- y\n", "has 2 sections"),
    ],
)
def test_a_section_that_cannot_be_published_is_an_error_that_says_why(changelog: str, message: str) -> None:
    with pytest.raises(release.ReleaseError, match=message):
        release.section(changelog, "0.3.0")


@pytest.mark.parametrize("tag", ["0.1.0", "v0.1", "v0.1.0.0", "v01.0.0", "v0.1.0 ", "v0.1.0\n", "main", ""])
def test_what_is_no_tag_of_a_release_is_refused(tag: str) -> None:
    with pytest.raises(release.ReleaseError, match="semantic version"):
        release.version_of(tag)


@pytest.mark.parametrize("version", ["0.1.0", "1.22.333", "1.0.0-rc.1"])
def test_a_tag_is_v_and_the_version(version: str) -> None:
    assert release.version_of(f"v{version}") == version


def test_all_packages_of_this_repository_say_one_version() -> None:
    said = {match[2] for path, pattern in release.places(ROOT) for match in pattern.finditer(path.read_text())}
    assert len(said) == 1
    members = [path.parent.name for path, _ in release.places(ROOT)]
    assert {"ingest", "query", "python", "migrations", "cli", "bench"} <= set(members)


def test_a_bump_moves_what_is_unreleased_and_every_version(tree: Path) -> None:
    changed = release.bump(tree, "7.8.9", TODAY)
    assert set(changed) == {tree / "CHANGELOG.md", *(path for path, _ in release.places(tree))}
    release.check_versions(tree, "7.8.9")
    changelog = (tree / "CHANGELOG.md").read_text()
    assert "## Unreleased\n\n## 7.8.9 - 2026-01-31\n\n### Added\n\n- Something new.\n\n## [0.2.0]" in changelog
    assert release.section(changelog, "7.8.9") == "### Added\n\n- Something new.\n"


def test_a_bump_changes_versions_and_nothing_else(tree: Path) -> None:
    before = {path: path.read_text().splitlines() for path, _ in release.places(tree)}
    release.bump(tree, "7.8.9", TODAY)
    for path, old in before.items():
        new = path.read_text().splitlines()
        differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        assert 0 < len(differing) <= 2
        assert all("ersion" in a and "7.8.9" in b for a, b in differing), path


def test_nothing_is_written_when_there_is_nothing_to_release(tree: Path) -> None:
    release.bump(tree, "7.8.9", TODAY)
    before = (tree / "cli" / "pyproject.toml").read_text()
    with pytest.raises(release.ReleaseError, match="says nothing of Unreleased"):
        release.bump(tree, "8.0.0", TODAY)
    assert (tree / "cli" / "pyproject.toml").read_text() == before


def test_a_version_is_released_once(tree: Path) -> None:
    with pytest.raises(release.ReleaseError, match=r"has a section of 0\.2\.0 already"):
        release.bump(tree, "0.2.0", TODAY)


def test_notes_fail_and_name_each_file_that_says_another_version(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release.bump(tree, "7.8.9", TODAY)
    path = tree / "services" / "query" / "pyproject.toml"
    path.write_text(path.read_text().replace("7.8.9", "7.8.8"))
    assert release.main(["notes", "v7.8.9"], tree) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "release: the tag says 7.8.9, but services/query/pyproject.toml says 7.8.8\n"


def test_the_command_prints_the_notes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["bump", "7.8.9"], tree) == 0
    assert "services/query/pyproject.toml\n" in capsys.readouterr().out
    assert release.main(["notes", "v7.8.9"], tree) == 0
    assert capsys.readouterr().out == "### Added\n\n- Something new.\n"


def test_what_is_unreleased_here_could_be_released() -> None:
    assert release.section((ROOT / "CHANGELOG.md").read_text(), release.UNRELEASED)
