"""What stands between the markers of `docs/scaling.md`. Pure.

<!-- measured: append-logs -->
… written by `python -m turnlog_bench.pictures` …
<!-- /measured -->
"""

import re
from collections.abc import Mapping

from turnlog_bench import tables
from turnlog_bench.scaling.points import Scaling

_BLOCK = re.compile(r"(<!-- measured: (?P<name>[a-z-]+) -->\n).*?(^<!-- /measured -->)", re.MULTILINE | re.DOTALL)


class PageBroken(Exception):
    """The page and the measured curves do not fit together; the message says where."""


def bodies(scaling: Scaling) -> dict[str, str]:
    """Everything that can be put between markers, by name. Raises LookupError for a curve that was not measured."""
    found = {name: tables.curve_table(name, scaling.curves[name]) for name in tables.LAYOUT if name in scaling.curves}
    if stored := scaling.curves.get("bytes-sessions"):
        found |= {
            "bytes-sessions": tables.bytes_table(stored),
            "bytes-indexes": tables.indexes_table(stored),
            "summaries": tables.summaries_table(stored),
        }
    return found | {
        "runs": tables.runs_table(scaling),
        "costs": tables.costs_table(scaling),
        "assumptions": tables.assumptions_table(),
        "sizing": tables.sizing_table(scaling),
    }


def filled(page: str, found: Mapping[str, str]) -> str:
    """The page with each marked block replaced. Raises `PageBroken` for a marker that nothing was measured for, a
    marker without its end, or something measured that the page does not show."""
    blocks = list(_BLOCK.finditer(page))
    names = [block["name"] for block in blocks]
    if page.count("<!-- measured: ") != len(blocks) or page.count("<!-- /measured -->") != len(blocks):
        raise PageBroken("a marker has no beginning or no end")
    if unknown := sorted(set(names) - found.keys()):
        raise PageBroken(f"nothing was measured for {', '.join(unknown)}")
    if missing := sorted(found.keys() - set(names)):
        raise PageBroken(f"the page does not show {', '.join(missing)}")
    return _BLOCK.sub(lambda block: f"{block[1]}\n{found[block['name']]}\n\n{block[3]}", page)
