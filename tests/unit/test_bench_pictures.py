"""Pictures and tables of `docs/scaling.md`: made from the curves, and those in the repository from the curves there."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from measuring import sample
from turnlog_bench.colours import LINES, NIGHT, TEXT, WHITE, contrast
from turnlog_bench.drawing import PICTURES, draw, hash_in, numbers_hash
from turnlog_bench.page import PageBroken, bodies, filled
from turnlog_bench.scaling.measure import CURVES
from turnlog_bench.scaling.points import Curve, Point, Scaling, parsed
from turnlog_bench.tables import counted, number, sized, spread_of

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "bench" / "scaling.json"
PAGE = ROOT / "docs" / "scaling.md"
MOST_BYTES = 80_000


@pytest.fixture(scope="module")
def measured() -> Scaling:
    return parsed(MEASURED.read_text())


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_in_the_pages_shows_the_curve_that_was_measured(name: str, measured: Scaling) -> None:
    text = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
    assert hash_in(text) == numbers_hash(measured.curves[name]), "the picture is an old one: make pictures"
    assert len(text) < MOST_BYTES
    assert f"(pictures/{name}.svg)" in PAGE.read_text()


def test_the_tables_in_the_pages_are_those_of_the_curves(measured: Scaling) -> None:
    assert filled(PAGE.read_text(), bodies(measured)) == PAGE.read_text(), "the page is an old one: make pictures"


def test_there_is_a_picture_of_every_curve_and_no_other(measured: Scaling) -> None:
    assert PICTURES.keys() == CURVES.keys() == measured.curves.keys()
    assert {path.stem for path in (ROOT / "docs" / "pictures").glob("*.svg")} >= PICTURES.keys()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_axes_with_units_and_no_ground_of_its_own(name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    draw(name, sample().curves[name], path)
    text = path.read_text()
    words = [
        ("".join(element.itertext())).strip() for element in ET.fromstring(text).iter() if element.tag.endswith("text")
    ]
    assert any(re.search(r"/s|MiB|ms|µs", word) for word in words), words
    assert not re.search(r"fill: #ffffff", text)
    assert hash_in(text) == numbers_hash(sample().curves[name])


def test_the_same_curve_gives_the_same_picture(tmp_path: Path) -> None:
    curve = sample().curves["append-concurrency"]
    for name in ("one", "two"):
        draw("append-concurrency", curve, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_number_is_another_hash() -> None:
    curve = sample().curves["tenants"]
    changed = Curve(curve.run, [*curve.points[:-1], Point("appends", 1e4, {"turns_per_s": [1.0]})])
    assert numbers_hash(changed) != numbers_hash(curve)


@pytest.mark.parametrize("ground", [WHITE, NIGHT])
def test_colours_are_seen_on_white_and_on_dark(ground: str) -> None:
    assert contrast(TEXT, ground) >= 4
    assert all(contrast(colour, ground) >= 3 for colour in LINES)


def test_contrast_of_black_and_white_is_the_greatest() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


PAGE_OF_TWO = "a\n<!-- measured: x -->\nold\n<!-- /measured -->\nb\n<!-- measured: y-z -->\n<!-- /measured -->\nc\n"


def test_only_what_is_between_markers_is_replaced_and_twice_is_once() -> None:
    once = filled(PAGE_OF_TWO, {"x": "new", "y-z": "table"})
    assert "old" not in once
    assert re.sub(r"(?s)<!-- measured.*?/measured -->", "·", once) == "a\n·\nb\n·\nc\n"
    assert filled(once, {"x": "new", "y-z": "table"}) == once


@pytest.mark.parametrize(
    "page, found, reason",
    [
        (PAGE_OF_TWO, {"x": ""}, "nothing was measured for y-z"),
        (PAGE_OF_TWO, {"x": "", "y-z": "", "more": ""}, "does not show more"),
        ("<!-- measured: x -->\nno end\n", {"x": ""}, "no end"),
        ("<!-- /measured -->\n", {}, "no beginning"),
    ],
)
def test_a_page_that_does_not_fit_is_refused(page: str, found: dict[str, str], reason: str) -> None:
    with pytest.raises(PageBroken, match=reason):
        filled(page, found)


def test_the_sample_fills_every_marker_of_the_page() -> None:
    text = filled(PAGE.read_text(), bodies(sample()))
    assert "| single turns | 1 | 5,000 (4,000–6,000) | 1.00 |" in text
    assert "| turns a day | 1 million | 10 million | 100 million | 1 billion |" in text


@pytest.mark.parametrize(
    "value, shown",
    [
        (0.0123, "0.0123"),
        (3.14159, "3.14"),
        (99.7, "99.7"),
        (123.4, "123"),
        (12_345, "12,300"),
        (1_234_567, "1,230,000"),
    ],
)
def test_numbers_are_shown_by_three_figures(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("count, shown", [(12, "12 B"), (1_500, "1.5 kB"), (2.34e12, "2.34 TB"), (5e15, "5 PB")])
def test_bytes_are_shown_in_the_unit_that_fits(count: float, shown: str) -> None:
    assert sized(count) == shown


@pytest.mark.parametrize("count, shown", [(12_345, "12,300"), (8.94e7, "89.4 million"), (1.5e10, "15 billion")])
def test_large_counts_are_shown_in_words(count: float, shown: str) -> None:
    assert counted(count) == shown


def test_a_single_slice_has_no_range() -> None:
    assert spread_of("a")(Point("s", 1, {"a": [5.0]})) == "5"
    assert spread_of("a")(Point("s", 1, {})) == ""


def test_the_command_names_what_is_missing_and_leaves_the_page_alone(tmp_path: Path) -> None:
    curves = {name: curve for name, curve in sample().curves.items() if name != "tenants"}
    (tmp_path / "scaling.json").write_text(Scaling(curves).as_json())
    (tmp_path / "page.md").write_text(PAGE.read_text())
    done = _pictures(tmp_path)
    assert done.returncode == 1
    assert "tenants" in done.stderr
    assert (tmp_path / "page.md").read_text() == PAGE.read_text()


def test_the_command_draws_everything(tmp_path: Path) -> None:
    (tmp_path / "scaling.json").write_text(sample().as_json())
    (tmp_path / "page.md").write_text(PAGE.read_text())
    done = _pictures(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == PICTURES.keys()
    assert "5,000 (4,000–6,000)" in (tmp_path / "page.md").read_text()


def _pictures(folder: Path) -> "subprocess.CompletedProcess[str]":
    places = ["--from", folder / "scaling.json", "--folder", folder / "pictures", "--page", folder / "page.md"]
    return subprocess.run(
        [sys.executable, "-m", "turnlog_bench.pictures", *map(str, places)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
