"""Entity tags of reads: `"v<version>.s<revision>"`, and whether a client has the answer already. Pure."""


def etag_of(version: int, revision: int) -> str:
    """The tag of a session at a version and a revision: it changes with every visible change."""
    return f'"v{version}.s{revision}"'


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an `If-None-Match` header names `tag` (weak comparison, lists and `*` as in RFC 9110)."""
    if if_none_match == tag:
        return True
    wanted = (item.strip() for item in if_none_match.split(","))
    return any(item == "*" or item.removeprefix("W/") == tag for item in wanted)
