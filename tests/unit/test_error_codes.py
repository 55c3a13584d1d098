"""docs/errors.md lists every error code that the code base can answer with, with its status, and no other."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVED = ("libs/*/src/**/*.py", "services/*/src/**/*.py", "cli/src/turnlog_cli/compose.py")
SOURCES = sorted(path for served in SERVED for path in ROOT.glob(served))
ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<statuses>[^|]+) \| (?P<means>[^|]+) \| (?P<fix>[^|]+) \|$")
LINE = "line"  # of a load's answer, which is 200


@dataclass(frozen=True)
class Maker:
    """What makes errors: where the code stands among its arguments, its default, and the status (None: the first
    argument)."""

    place: int
    status: str | None
    default: str | None = None


MAKERS = {
    "Problem": Maker(1, None),
    "InvalidField": Maker(2, "422", "invalid_field"),
    "MalformedJson": Maker(2, "400", "invalid_field"),
    "ForeignEncoding": Maker(2, "415", "invalid_field"),
    "_failed": Maker(1, LINE),
}
PASSED_ON = {"problem_of"}  # functions that hand on the code of another error


def strings_in(node: ast.expr, names: dict[str, ast.expr], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The strings that an expression can be, by constants, names, either branch of a choice, and look-ups."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from strings_in(node.body, names, seen)
            yield from strings_in(node.orelse, names, seen)
        case ast.Name(id=name) if name in names and name not in seen:
            yield from strings_in(names[name], names, seen | {name})
        case ast.Dict():
            for value in node.values:
                yield from strings_in(value, names, seen)
        case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, default]):
            yield from strings_in(table, names, seen)
            yield from strings_in(default, names, seen)
        case _:
            raise AssertionError(f"line {node.lineno}: a code that cannot be told from the source: {ast.unparse(node)}")


def assigned(tree: ast.AST) -> dict[str, ast.expr]:
    """What stands on the right of each name."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    return found


def made_in(tree: ast.Module, constants: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """(code, status) of every error that a module makes."""
    names = constants | assigned(tree)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in PASSED_ON]
    passed_on = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in passed_on:
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        maker = MAKERS.get(called)
        if maker is None or not node.args:
            continue
        status = maker.status or ast.unparse(node.args[0])
        if len(node.args) > maker.place:
            codes = set(strings_in(node.args[maker.place], names))
        else:
            keywords = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            codes = set(strings_in(keywords[0], names)) if keywords else {maker.default or ""}
        for code in codes:
            yield code, status


def in_the_sources() -> set[tuple[str, str]]:
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    constants: dict[str, ast.expr] = {}
    for tree in trees.values():
        constants |= {n: v for n, v in assigned(tree).items() if n.isupper() and isinstance(v, ast.Constant)}
    return {found for tree in trees.values() for found in made_in(tree, constants)}


def in_the_page() -> set[tuple[str, str]]:
    rows = [row for line in (ROOT / "docs" / "errors.md").read_text().splitlines() if (row := ROW.match(line))]
    codes = [row["code"] for row in rows]
    assert len(codes) == len(set(codes)), "a code stands there twice"
    assert all(row["means"].strip() and row["fix"].strip() for row in rows)
    return {(row["code"], status.strip()) for row in rows for status in row["statuses"].split(",")}


def test_every_error_code_is_on_the_page_with_its_statuses_and_no_other() -> None:
    made, told = in_the_sources(), in_the_page()
    assert len(made) > 40
    assert sorted(made - told) == [], "made by the code, missing in docs/errors.md"
    assert sorted(told - made) == [], "in docs/errors.md, made by no code"


def test_a_code_in_a_variable_a_choice_or_a_table_is_found() -> None:
    tree = ast.parse(
        "T: dict = {'x': 'in_table'}\nC = 'in_constant'\n"
        "def f(y):\n code = 'this' if y else T.get(y, 'that')\n raise Problem(409, code, 'words')\n"
        "def g():\n raise InvalidField('field', 'fix', C)\ndef h():\n raise InvalidField('field', 'fix')\n"
    )
    assert set(made_in(tree, {})) == {
        ("this", "409"), ("that", "409"), ("in_table", "409"), ("in_constant", "422"), ("invalid_field", "422"),
    }  # fmt: skip
