"""What `view` shows of the files, in the words of the tool. Pure."""

from collections.abc import Iterator, Sequence

from anthropic.lib.tools import ToolError

from turnlog_client.frameworks.anthropic.files import MAX_LINES, Files, file_at, numbered
from turnlog_client.frameworks.anthropic.paths import Path, path_of, text_of

LISTED_DEPTH = 2


def viewed(files: Files, text: str | None, view_range: Sequence[int] | None) -> str:
    """A folder's entries two levels deep with their sizes, or a file's lines with their numbers. Raises `ToolError`."""
    if not isinstance(text, str):
        raise ToolError("The view command needs the parameter `path`, a text.")
    path = path_of(text)
    if path in files.folders:
        lines = [f"{_size(files, path)}\t{text}"]
        lines += [f"{size}\t{text_of(path)}/{name}" for size, name in _listed(files, path)]
        head = f"Here're the files and directories up to 2 levels deep in {text}, excluding hidden items:"
        return "\n".join([head, *lines])
    if path not in files.contents:
        raise ToolError(f"The path {text} does not exist. Please provide a valid path.")
    lines = file_at(files, text)[1].split("\n")
    if len(lines) > MAX_LINES:
        raise ToolError(f"File {text} exceeds maximum line limit of 999,999 lines.")
    first = 1
    if view_range and len(view_range) == 2:
        first = max(1, view_range[0])
        lines = lines[first - 1 : len(lines) if view_range[1] == -1 else view_range[1]]
    return f"Here's the content of {text} with line numbers:\n{numbered(lines, first)}"


def _listed(files: Files, folder: Path) -> Iterator[tuple[str, str]]:
    """Size and name below the folder of what is listed of it, in order of names; a folder's name ends with `/`."""
    found = sorted(files.below(folder))
    for path in found:
        names = path[len(folder) :]
        if len(names) > LISTED_DEPTH or any(name.startswith(".") for name in names):
            continue
        yield _size(files, path), "/".join(names) + ("/" if path in files.folders else "")


def _size(files: Files, path: Path) -> str:
    """A file's size, or that of all files below a folder."""
    texts = [files.contents[at] for at in [path, *files.below(path)] if at in files.contents]
    size = float(sum(len(text.encode(errors="replace")) for text in texts))
    units = iter("BKMG")
    unit = next(units)
    while size >= 1024 and unit != "G":
        size, unit = size / 1024, next(units)
    return f"{size:.0f}{unit}" if size == int(size) else f"{size:.1f}{unit}"
