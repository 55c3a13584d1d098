"""`python -m turnlog_bench.pictures`: draw the curves of `bench/scaling.json` into `docs/pictures/`, and write the
tables of `docs/scaling.md`. Measures nothing."""

import argparse
import sys
from pathlib import Path

from turnlog_bench.drawing import PICTURES, draw
from turnlog_bench.page import PageBroken, bodies, filled
from turnlog_bench.scaling.points import Scaling, parsed

RESULTS, FOLDER, PAGE = Path("bench/scaling.json"), Path("docs/pictures"), Path("docs/scaling.md")


def redraw(scaling: Scaling, folder: Path, page: Path) -> None:
    """Write every picture and the page's tables. Raises `PageBroken`, or LookupError for a curve that is missing; the
    page is then as it was."""
    text = filled(page.read_text(), bodies(scaling))
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        draw(name, scaling.curves[name], folder / f"{name}.svg")
    page.write_text(text)


def main() -> None:
    """Draw; status 0 when pictures and page are as the file says."""
    parser = argparse.ArgumentParser(prog="python -m turnlog_bench.pictures", description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, default=RESULTS, help=f"the curves (default: {RESULTS})")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where pictures go (default: {FOLDER})")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"whose tables are written (default: {PAGE})")
    arguments = parser.parse_args()
    try:
        redraw(parsed(arguments.source.read_text()), arguments.folder, arguments.page)
    except (OSError, ValueError, LookupError, PageBroken) as error:
        sys.exit(f"pictures: {error}")


if __name__ == "__main__":
    main()
