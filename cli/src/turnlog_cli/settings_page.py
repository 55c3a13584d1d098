"""The reference page of all settings, made from the settings classes: `turnlog config --markdown`.

Who calls: that command, and the test that holds `docs/configuration.md` to it.
"""

from collections.abc import Iterator

from turnlog_runtime.settings_catalog import ELSEWHERE, SERVICES, Described, Group, catalog

PREAMBLE = """\
# Configuration

Made from the settings classes (`turnlog config --markdown`). Every setting is an environment variable, read once at the
start.

- `turnlog config` prints the values in effect, passwords hidden, and where each came from; `--changed` only those that
  are not the default, `--service query` only what that service reads. It ends with 2 if any is wrong and says what, all
  at once. Every service refuses to start for the same reasons.
- A variable that begins with `TURNLOG_` and is none of these is an error that names the nearest one.
- A secret or an address may be in a file: `TURNLOG_DATABASE_URL_FILE=/run/secrets/database_url`. The line break at its
  end is not part of it. These are marked *or file*. Setting both a variable and its file is an error.
- Where two names are given, the first counts.
- *Read by* names the services; `turnlog` is the command line. `turnlog up` hands its environment on to all of them."""
ELSEWHERE_TITLE = "## Read elsewhere"
ELSEWHERE_ABOUT = """\
No service reads these. Traces are set up by OpenTelemetry's own variables, `OTEL_…`; `turnlog config` lists those that
are set."""


def page() -> str:
    """The page in Markdown."""
    lines = [PREAMBLE]
    for group in catalog():
        lines += ["", *_group(group)]
    lines += ["", ELSEWHERE_TITLE, "", ELSEWHERE_ABOUT, "", "| variable | meaning |", "| --- | --- |"]
    lines += [f"| `{variable}` | {meaning} |" for variable, meaning in ELSEWHERE.items()]
    return "\n".join(lines) + "\n"


def _group(group: Group) -> Iterator[str]:
    yield f"## {group.title}"
    if group.about:
        yield from ("", group.about)
    yield from ("", "| variable | default | allowed | unit | read by | meaning |", "| --- " * 6 + "|")
    for setting in group.settings:
        yield f"| {' | '.join(_cell(text) for text in _row(setting))} |"


def _row(setting: Described) -> tuple[str, ...]:
    names = " or ".join(f"`{variable}`" for variable in setting.variables)
    return (
        names + (", *or file*" if setting.takes_file else ""),
        f"`{setting.default}`" if setting.default else "",
        setting.allowed,
        setting.unit,
        "all services" if len(setting.services) == len(SERVICES) else ", ".join(setting.services) or "nobody yet",
        setting.meaning,
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
