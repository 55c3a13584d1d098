"""Which summaries to make next. Pure: the cover, a page of turns and a target in, steps out.

Three kinds of step, in this order: what a retraction took is made again at the same places; new turns become level-1
summaries; `fan_in` neighbours become one of the next level. A plan is a function of stored events only, so two
compressors plan the same keys and a restart goes on where the last one was killed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from turnlog_compressor.cover import Cover, Mark, Place, Tile, summary_key
from turnlog_compressor.extractive import FAN_IN
from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.runs import RunSettings, closing_runs, full_runs
from turnlog_compressor.transcript import Piece, Range


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """`fan_in` neighbours of a level become one summary of the next; `gap_versions` bounds a summary that fills a
    hole where nothing was ever stored."""

    policy: PolicySettings = field(default_factory=PolicySettings)
    runs: RunSettings = field(default_factory=RunSettings)
    fan_in: int = FAN_IN
    gap_versions: int = 40

    @property
    def leaf_turns(self) -> int:
        """The most visible turns that a level-1 summary planned here is made of."""
        return max(self.policy.turns, self.gap_versions)


@dataclass(frozen=True, slots=True)
class Page:
    """Visible turns from `first_wanted(cover)` on. `whole`: no visible turn up to the target (or the head, without a
    target) follows them. `close`: cover all of them, not only full windows."""

    pieces: tuple[Piece, ...]
    whole: bool
    close: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One summary to make. Level 1 is made from the visible turns of its range, higher levels from `sources`, keys of
    stored summaries or of steps before this one. A higher level without sources covers retracted turns only."""

    level: int
    from_version: int
    to_version: int
    revision: int
    sources: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key its event will have."""
        return summary_key(self.level, self.from_version, self.to_version, self.revision)

    @property
    def place(self) -> Place:
        """Level and range."""
        return (self.level, self.from_version, self.to_version)


@dataclass(frozen=True, slots=True)
class _Node:
    """A summary of the cover to come: stored, or made by a step."""

    level: int
    from_version: int
    to_version: int
    key: str


@dataclass(slots=True)
class _Draft:
    cover: Cover
    steps: list[Step] = field(default_factory=list)
    nodes: list[_Node] = field(default_factory=list)

    def make(self, level: int, from_version: int, to_version: int, sources: tuple[str, ...] = ()) -> _Node:
        revision = self.cover.next_revision((level, from_version, to_version))
        step = Step(level, from_version, to_version, revision, sources)
        self.steps.append(step)
        return _node(step)


def plan(cover: Cover, page: Page, settings: PlanSettings) -> list[Step]:
    """The steps that bring the cover up to the page; empty when there is nothing to do.

    To apply them and plan again over the same turns gives nothing.
    """
    draft = _Draft(cover)
    for tile in cover.tiles:
        draft.nodes += _restored(draft, tile, settings)
    _grow(draft, page, settings)
    _roll_up(draft, settings.fan_in)
    return draft.steps


def first_wanted(cover: Cover, settings: PlanSettings) -> int:
    """The first version whose turn the plan needs: after the cover, or from the beginning of a last summary so short
    that it will be made again together with what follows."""
    fragment = _fragment(cover, settings)
    return fragment.from_version if fragment else cover.to_version + 1


def _restored(draft: _Draft, tile: Tile, settings: PlanSettings) -> list[_Node]:
    if tile.mark is None:
        return [draft.make(1, a, b) for a, b in _stretches(tile.from_version, tile.to_version, settings)]
    return [_node(tile.mark) if tile.stands else _remade(draft, tile.mark, settings)]


def _remade(draft: _Draft, lost: Mark, settings: PlanSettings) -> _Node:
    """The same place again: of its sources, those that still hold are used as they are. A level-1 summary of more
    turns than one is made of here (another release, other settings) becomes one of level 2."""
    cover = draft.cover
    if not cover.visible(lost.from_version, lost.to_version) or _is_leaf(cover, lost, settings):
        return draft.make(lost.level, lost.from_version, lost.to_version)
    sources = tuple(node.key for node in _parts(draft, lost, settings))
    return draft.make(max(lost.level, 2), lost.from_version, lost.to_version, sources)


def _is_leaf(cover: Cover, mark: Mark, settings: PlanSettings) -> bool:
    return mark.level == 1 and cover.visible(mark.from_version, mark.to_version) <= settings.leaf_turns


def _parts(draft: _Draft, lost: Mark, settings: PlanSettings) -> list[_Node]:
    """What a summary with the place of `lost` is rolled up from: its sources, or if they are not known new leaves."""
    cover = draft.cover
    known = [cover.by_id[source] for source in lost.sources if source in cover.by_id]
    children = [child for child in known if child.level < lost.level and lost.holds(child)]
    told = {v for child in children for v in range(child.from_version, child.to_version + 1)}
    if len(told) < lost.to_version + 1 - lost.from_version:
        stretches = _stretches(lost.from_version, lost.to_version, settings)
        return [_leaf(draft, a, b) for a, b in stretches if cover.visible(a, b)]
    seen = [child for child in children if cover.visible(child.from_version, child.to_version)]
    return [part for child in seen for part in _reused(draft, child, settings)]


def _reused(draft: _Draft, child: Mark, settings: PlanSettings) -> list[_Node]:
    if usable := draft.cover.usable.get(child.place):
        return [_node(usable)]
    if child.level == 1 and not _is_leaf(draft.cover, child, settings):
        return _parts(draft, child, settings)  # level 2 would not be below that of `lost`
    return [_remade(draft, child, settings)]


def _leaf(draft: _Draft, from_version: int, to_version: int) -> _Node:
    usable = draft.cover.usable.get((1, from_version, to_version))
    return _node(usable) if usable else draft.make(1, from_version, to_version)


def _stretches(from_version: int, to_version: int, settings: PlanSettings) -> list[Range]:
    starts = range(from_version, to_version + 1, settings.gap_versions)
    return [(start, min(start + settings.gap_versions - 1, to_version)) for start in starts]


def _grow(draft: _Draft, page: Page, settings: PlanSettings) -> None:
    """New level-1 summaries from the page, the first from the end of the cover or from its fragment's beginning."""
    cover = draft.cover
    fragment = _fragment(cover, settings)
    pieces = page.pieces
    runs = _runs(page, settings)
    start = fragment.from_version if fragment else cover.to_version + 1
    if fragment and runs and runs[0][1] <= fragment.to_version:
        pieces = tuple(p for p in pieces if p.version > cover.to_version)
        runs = _runs(replace(page, pieces=pieces), settings)
        start, fragment = cover.to_version + 1, None
    if fragment and runs:
        draft.nodes.pop()
    for _, last in runs:
        draft.nodes.append(draft.make(1, start, last))
        start = last + 1


def _runs(page: Page, settings: PlanSettings) -> list[Range]:
    runs = full_runs(page.pieces, settings.policy, settings.runs)
    if page.close and page.whole:
        done = runs[-1][1] if runs else 0
        runs += closing_runs([p for p in page.pieces if p.version > done], settings.runs)
    return runs


def _fragment(cover: Cover, settings: PlanSettings) -> Tile | None:
    """The last tile, if it is a level-1 summary of so few turns that it should grow rather than get a neighbour."""
    if not cover.tiles:
        return None
    last = cover.tiles[-1]
    short = cover.visible(last.from_version, last.to_version) < settings.runs.turns_min
    return last if last.stands and last.mark and last.mark.level == 1 and short else None


def _roll_up(draft: _Draft, fan_in: int) -> None:
    """Neighbours of one level become one of the next, oldest first, until no level has `fan_in` of them.

    A summary left of one of a higher level counts as that level: it was made late, to fill a hole, and would otherwise
    part its neighbours for ever.
    """
    while (first := _first_group(draft.nodes, fan_in)) is not None:
        group = draft.nodes[first : first + fan_in]
        level = max(node.level for node in group) + 1
        sources = tuple(node.key for node in group)
        draft.nodes[first : first + fan_in] = [draft.make(level, group[0].from_version, group[-1].to_version, sources)]


def _first_group(nodes: Sequence[_Node], fan_in: int) -> int | None:
    levels = [node.level for node in nodes]
    for index in range(len(levels) - 2, -1, -1):
        levels[index] = max(levels[index], levels[index + 1])
    for index in range(len(levels) - fan_in + 1):
        if levels[index] == levels[index + fan_in - 1]:
            return index
    return None


def _node(made: Mark | Step) -> _Node:
    return _Node(made.level, made.from_version, made.to_version, made.key)
