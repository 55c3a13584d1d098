"""Which paths a model may name, and what they are below `/memories`. Pure."""

from urllib.parse import unquote

from anthropic.lib.tools import ToolError

ROOT = "/memories"
Path = tuple[str, ...]
"""The names below `/memories`; empty for the folder itself."""


def path_of(text: str) -> Path:
    """The path that a model names. Raises `ToolError` for one that is not below `/memories`.

    `.` and empty names fall away and `..` leads one up, as in a file system; a path that passes through anything above
    `/memories` is refused, and so is one whose `..` is written with backslashes or percent-encoded.
    """
    if text != ROOT and not text.startswith(f"{ROOT}/"):
        raise ToolError(f"Path must start with {ROOT}, got: {text}")
    if "\0" in text or _hides_dots(text):
        raise ToolError(f"Path {text} would escape {ROOT} directory")
    names: list[str] = []
    for name in text[len(ROOT) :].split("/"):
        if name == ".." and not names:
            raise ToolError(f"Path {text} would escape {ROOT} directory")
        if name == "..":
            names.pop()
        elif name not in ("", "."):
            names.append(name)
    return tuple(names)


def text_of(path: Path) -> str:
    """The path written from the root."""
    return "/".join([ROOT, *path])


def _hides_dots(text: str) -> bool:
    plain = text.split("/")
    seen = text
    for _ in range(3):
        decoded = unquote(seen)
        names = decoded.replace("\\", "/").split("/")
        if names.count("..") > plain.count(".."):
            return True
        if decoded == seen:
            return False
        seen = decoded
    return True
