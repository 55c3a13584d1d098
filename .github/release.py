"""Releases: what the changelog says of one, whether everything agrees on its version, and the step to the next version.

    python3 .github/release.py notes v0.2.0    # the section of 0.2.0, on standard output
    python3 .github/release.py bump 0.2.0      # "Unreleased" becomes 0.2.0 of today, and every package says 0.2.0

Called by release.yml and by whoever makes a release (docs/releasing.md). Python's standard library only.
"""

import argparse
import datetime as dt
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = "CHANGELOG.md"
CHART = Path("deploy/helm/turnlog/Chart.yaml")
UNRELEASED = "Unreleased"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
_HEADING = re.compile(r"^## +\[?(?P<name>[^\]\s]+)\]?(?: +[-–] +(?P<date>\d{4}-\d{2}-\d{2}))?[ \t]*$", re.MULTILINE)
_PACKAGE_VERSION = re.compile(r'^(version *= *")([^"]*)(")', re.MULTILINE)
_CHART_VERSION = re.compile(r'^((?:version|appVersion): *"?)([^"\s]+)("?)', re.MULTILINE)


class ReleaseError(Exception):
    """Something does not agree; the message says what to change."""


def version_of(tag: str) -> str:
    """The version that a tag names. Raises `ReleaseError` when it is not v and a semantic version."""
    if not tag.startswith("v") or not _VERSION.fullmatch(tag[1:]):
        raise ReleaseError(f"a release's tag is v and a semantic version, as v1.2.3: {tag!r} is not")
    return tag[1:]


def section(changelog: str, version: str) -> str:
    """What the changelog says of a version, without its heading. Raises `ReleaseError` when there is no such section,
    or nothing in it."""
    found = [heading for heading in _HEADING.finditer(changelog) if heading["name"] == version]
    if not found:
        raise ReleaseError(f"{CHANGELOG} has no section of {version}: run `python3 .github/release.py bump {version}`")
    if len(found) > 1:
        raise ReleaseError(f"{CHANGELOG} has {len(found)} sections of {version}")
    following = _HEADING.search(changelog, found[0].end())
    text = changelog[found[0].end() : following.start() if following else len(changelog)].strip()
    if not any(line.strip() and not line.startswith("#") for line in text.splitlines()):
        raise ReleaseError(f"{CHANGELOG} says nothing of {version}: write down what changed")
    if version != UNRELEASED and found[0]["date"] is None:
        raise ReleaseError(f"{CHANGELOG}: the section of {version} has no date (## {version} - 2026-01-31)")
    return text + "\n"


def released(changelog: str, version: str, today: dt.date) -> str:
    """The changelog with what was unreleased as this version's section. Raises `ReleaseError` when there is nothing
    unreleased, or this version has a section already."""
    section(changelog, UNRELEASED)
    if any(heading["name"] == version for heading in _HEADING.finditer(changelog)):
        raise ReleaseError(f"{CHANGELOG} has a section of {version} already")
    heading = next(h for h in _HEADING.finditer(changelog) if h["name"] == UNRELEASED)
    new = f"{heading.group()}\n\n## {version} - {today.isoformat()}"
    return changelog[: heading.start()] + new + changelog[heading.end() :]


def places(root: Path) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """Every file that says the version, and how it says it."""
    members = ("libs/*", "services/*", "clients/python", "db/migrations", "cli", "bench")
    yield root / "pyproject.toml", _PACKAGE_VERSION
    for member in members:
        for path in sorted(root.glob(f"{member}/pyproject.toml")):
            yield path, _PACKAGE_VERSION
    if (root / CHART).exists():
        yield root / CHART, _CHART_VERSION


def check_versions(root: Path, version: str) -> None:
    """Raise `ReleaseError` naming each file that says another version."""
    wrong = []
    for path, pattern in places(root):
        said = {match[2] for match in pattern.finditer(path.read_text())}
        if said != {version}:
            wrong.append(f"{path.relative_to(root)} says {', '.join(sorted(said)) or 'none'}")
    if wrong:
        raise ReleaseError(f"the tag says {version}, but " + "; ".join(wrong))


def bump(root: Path, version: str, today: dt.date) -> list[Path]:
    """Write a version everywhere; the files that changed. Raises `ReleaseError` before anything is written."""
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is not a semantic version, as 1.2.3")
    changelog = root / CHANGELOG
    new = {changelog: released(changelog.read_text(), version, today)}
    for path, pattern in places(root):
        new[path] = pattern.sub(rf"\g<1>{version}\g<3>", path.read_text())
    changed = [path for path, text in new.items() if text != path.read_text()]
    for path in changed:
        path.write_text(new[path])
    return changed


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Do what the command line asks; the exit status."""
    parser = argparse.ArgumentParser(prog="release.py", description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("notes", help="print a release's notes; fails unless everything agrees").add_argument("tag")
    actions.add_parser("bump", help="make what is unreleased this version").add_argument("version")
    given = parser.parse_args(arguments)
    try:
        if given.action == "notes":
            version = version_of(given.tag)
            check_versions(root, version)
            sys.stdout.write(section((root / CHANGELOG).read_text(), version))
        else:
            for path in bump(root, given.version, dt.datetime.now(dt.UTC).date()):
                sys.stdout.write(f"{path.relative_to(root)}\n")
            sys.stdout.write("now run `uv lock`, and commit\n")
    except ReleaseError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
