"""The files below `/memories` as the fold of a session's turns. Pure.

Every command that changes something is one turn, and its effect is decided here alone, once before it is stored and
again whenever the session is read:

    metadata.anthropic = {"item": {"command": "create", "path": "/memories/a.txt", "file_text": "…"}}
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anthropic.lib.tools import ToolError

from turnlog_client.frameworks.anthropic.paths import ROOT, Path, path_of, text_of
from turnlog_client.frameworks.items import item_of

FRAMEWORK = "anthropic"
MAX_LINES = 999_999


@dataclass
class Files:
    """Contents by path, and the folders there are (`()` is `/memories` itself)."""

    contents: dict[Path, str] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=lambda: {()})

    def exists(self, path: Path) -> bool:
        """Whether there is a file or a folder."""
        return path in self.contents or path in self.folders

    def below(self, folder: Path) -> Iterator[Path]:
        """Every file and folder below a folder."""
        for path in [*self.contents, *self.folders]:
            if len(path) > len(folder) and path[: len(folder)] == folder:
                yield path


def files_of(turns: Sequence[Mapping[str, Any]]) -> Files:
    """The files that the turns of a session make; turns of others are passed over.

    A command whose ground was taken back (the turn that created its file was retracted) has no effect.
    """
    files = Files()
    for stored in turns:
        command = item_of(FRAMEWORK, stored)
        if isinstance(command, dict):
            try:
                applied(files, command)
            except ToolError:
                continue
    return files


def applied(files: Files, command: Mapping[str, Any]) -> str:
    """Apply a command to `files`; what the model is told. Raises `ToolError`, having changed nothing."""
    kind = str(command.get("command"))
    if kind not in _COMMANDS:
        raise ToolError(f"Unknown command: {kind}")
    run, needed = _COMMANDS[kind]
    for name in needed:
        wanted = int if name == "insert_line" else str
        if not isinstance(command.get(name), wanted) or isinstance(command[name], bool):
            raise ToolError(
                f"The {kind} command needs the parameter `{name}`, {'a number' if wanted is int else 'a text'}."
            )
    return run(files, command)


def file_at(files: Files, text: str) -> tuple[Path, str]:
    """The path and the content of the file that a command names."""
    path = path_of(text)
    if not files.exists(path):
        raise ToolError(f"The path {text} does not exist. Please provide a valid path.")
    if path not in files.contents:
        raise ToolError(f"The path {text} is not a file.")
    return path, files.contents[path]


def _create(files: Files, command: Mapping[str, Any]) -> str:
    text, path = command["path"], path_of(command["path"])
    if files.exists(path):
        raise ToolError(f"File {text} already exists")
    _make_folders(files, path)
    files.contents[path] = command["file_text"]
    return f"File created successfully at: {text}"


def _str_replace(files: Files, command: Mapping[str, Any]) -> str:
    text, old = command["path"], command["old_str"]
    path, content = file_at(files, text)
    if not old:
        raise ToolError("No replacement was performed, old_str must not be empty.")
    count = content.count(old)
    if count == 0:
        raise ToolError(f"No replacement was performed, old_str `{old}` did not appear verbatim in {text}.")
    if count > 1:
        numbers = ", ".join(str(content.count("\n", 0, place) + 1) for place in _places(content, old))
        raise ToolError(
            f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: {numbers}. "
            "Please ensure it is unique"
        )
    line = content.count("\n", 0, content.index(old))
    files.contents[path] = new = content.replace(old, command["new_str"])
    after = new.split("\n")
    start, end = max(0, line - 2), min(len(after), line + 3)
    snippet = numbered(after[start:end], start + 1)
    return f"The memory file has been edited. Here is the snippet showing the change (with line numbers):\n{snippet}"


def _places(content: str, old: str) -> Iterator[int]:
    place = content.find(old)
    while place >= 0:
        yield place
        place = content.find(old, place + 1)


def _insert(files: Files, command: Mapping[str, Any]) -> str:
    text, at = command["path"], command["insert_line"]
    path, content = file_at(files, text)
    lines = content.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not 0 <= at <= len(lines):
        raise ToolError(f"Invalid `insert_line` parameter: {at}. It should be within the range [0, {len(lines)}].")
    lines.insert(at, command["insert_text"].rstrip("\n"))
    joined = "\n".join(lines)
    files.contents[path] = joined if joined.endswith("\n") else f"{joined}\n"
    return f"The file {text} has been edited."


def _delete(files: Files, command: Mapping[str, Any]) -> str:
    text, path = command["path"], path_of(command["path"])
    if not path:
        raise ToolError(f"Cannot delete the {ROOT} directory itself")
    if not files.exists(path):
        raise ToolError(f"The path {text} does not exist")
    for gone in [path, *files.below(path)]:
        files.contents.pop(gone, None)
        files.folders.discard(gone)
    return f"Successfully deleted {text}"


def _rename(files: Files, command: Mapping[str, Any]) -> str:
    old_text, new_text = command["old_path"], command["new_path"]
    old, new = path_of(old_text), path_of(new_text)
    if not old:
        raise ToolError(f"Cannot rename the {ROOT} directory itself")
    if files.exists(new):
        raise ToolError(f"The destination {new_text} already exists")
    if not files.exists(old):
        raise ToolError(f"The path {old_text} does not exist")
    if new[: len(old)] == old:
        raise ToolError(f"Cannot rename {old_text} into itself: {new_text}")
    _make_folders(files, new)
    for path in [old, *files.below(old)]:
        moved = new + path[len(old) :]
        if path in files.contents:
            files.contents[moved] = files.contents.pop(path)
        else:
            files.folders.discard(path)
            files.folders.add(moved)
    return f"Successfully renamed {old_text} to {new_text}"


_COMMANDS: Mapping[str, tuple[Callable[[Files, Mapping[str, Any]], str], tuple[str, ...]]] = {
    "create": (_create, ("path", "file_text")),
    "str_replace": (_str_replace, ("path", "old_str", "new_str")),
    "insert": (_insert, ("path", "insert_line", "insert_text")),
    "delete": (_delete, ("path",)),
    "rename": (_rename, ("old_path", "new_path")),
}
"""Each command with the parameters that it needs."""


def numbered(lines: Sequence[str], first: int) -> str:
    """Lines with their numbers, as the tool shows files."""
    return "\n".join(f"{number:>{len(str(MAX_LINES))}}\t{line}" for number, line in enumerate(lines, first))


def _make_folders(files: Files, path: Path) -> None:
    folders = [path[:depth] for depth in range(1, len(path))]
    for folder in folders:
        if folder in files.contents:
            raise ToolError(f"The path {text_of(folder)} is not a directory.")
    files.folders.update(folders)
