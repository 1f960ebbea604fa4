"""What a soak comes to: numbers from its records, and the report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.soak_server import Pass
from benchmarks.soak_users import HEAVY, LIGHT, Record
from promptsr.tables import markdown

WARM_UP = 0.25
"""Of the time: until then caches fill, and memory may grow."""
LIMIT = 5.0
"""Per cent that memory may grow after the warm-up."""
_WINDOW = 0.1
"""Of the time: memory at a moment is the median over so much around it, since every job makes a peak."""


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    minutes: float
    """Since the users came."""
    requests: int
    """That have ended by then."""
    resident_mb: float
    open_files: int
    cached_files: int
    cached_mb: float


@dataclass(frozen=True)
class Growth:
    """Of resident memory after the warm-up."""

    warm_mb: float
    end_mb: float
    slope: float
    """10^6 bytes per 100 requests, by least squares."""
    after_200_mb: float | None
    """200 requests after the warm-up; None if there were fewer."""

    @property
    def percent(self) -> float:
        """From the end of the warm-up to the end."""
        return 100 * (self.end_mb / self.warm_mb - 1)


def growth(samples: Sequence[Sample]) -> Growth:
    """Of samples that are evenly spread over the time."""
    memory, requests = (np.array([getattr(each, name) for each in samples]) for name in ("resident_mb", "requests"))
    warm, width = round(WARM_UP * len(samples)), max(1, round(_WINDOW * len(samples)))

    def around(index: int) -> float:
        start = min(max(index - width // 2, 0), len(samples) - width)
        return float(np.median(memory[start : start + width]))

    slope = np.polyfit(requests[warm:], memory[warm:], 1)[0] if len(np.unique(requests[warm:])) > 1 else 0.0
    later = np.flatnonzero(requests >= requests[warm] + 200)
    after = around(int(later[0])) if len(later) else None
    return Growth(around(warm), around(len(samples) - 1), 100 * float(slope), after)


def overlapping(passes: Sequence[Pass]) -> int:
    """How many passes began before one of another event had ended."""
    count, last, ended = 0, "", -np.inf
    for each in sorted(passes, key=lambda each: each.begun):
        count += each.begun < ended and each.event != last
        if each.ended > ended:
            last, ended = each.event, each.ended
    return count


@dataclass(frozen=True)
class Broken:
    """A job that was broken off while it ran."""

    tiles: int
    """Of it that began afterwards."""
    wait: float
    """Until the next job's turn, in tiles of its own: seconds over the median of its passes."""


def broken_off(records: Sequence[Record], passes: Sequence[Pass]) -> list[Broken]:
    """All of them that another job followed."""
    starts = np.array(sorted(each.started for each in records if each.kind in HEAVY and each.started is not None))
    found = []
    for each in records:
        own = [one for one in passes if one.event == each.event]
        if each.cut_at is None or each.started is None or not own:
            continue
        later = starts[starts > each.cut_at]
        if len(later):
            tile = float(np.median([one.ended - one.begun for one in own]))
            found.append(Broken(sum(one.begun > each.cut_at for one in own), (later[0] - each.cut_at) / tile))
    return found


def light_seconds(records: Sequence[Record]) -> dict[str, list[float]]:
    """By kind the seconds of light requests that were asked for while a heavy one ran."""
    running = [(each.started, each.ended) for each in records if each.kind in HEAVY and each.started is not None]
    found: dict[str, list[float]] = {}
    for each in records:
        if each.kind in LIGHT and any(start <= each.asked < end for start, end in running):
            found.setdefault(each.kind, []).append(each.ended - each.asked)
    return found


def report(
    records: Sequence[Record], passes: Sequence[Pass], samples: Sequence[Sample], head: str, rest: Sequence[Sample]
) -> str:
    """Markdown.

    Args:
        records: of all requests.
        passes: through networks.
        samples: of the server while the users were there.
        head: what was done, and on what machine.
        rest: the server before they came, and some time after they were gone.
    """
    outcomes = Counter((each.kind, each.outcome) for each in records)
    kinds = sorted({each.kind for each in records}, key=lambda kind: (kind not in HEAVY, kind not in LIGHT, kind))
    columns = ("answered", "refused", "cancelled", "dropped", "wrong")
    table = [
        {"kind": kind, **{name: str(outcomes[kind, name] or "") for name in columns}, **_times(records, kind)}
        for kind in kinds
    ]
    waits = broken_off(records, passes)
    wrong = [each for each in records if each.outcome == "wrong"]
    lines = "".join(f"\n- {each.kind}: {each.detail}" for each in wrong[:20])
    return (
        f"# Soak\n\n{head}\n\n{len(records)} requests; {outcomes_of(records, 'refused')} documented refusals, "
        f"{len(wrong)} answers that are not as documented.{lines}\n\n{markdown(table)}\n"
        f"Heavy requests queue for one device: of {len(passes)} passes through networks, {overlapping(passes)} began "
        f"before one of another request had ended.\n\n{_breaking(waits)}\n\n"
        f"{_lights(light_seconds(records))}\n{_memory(samples, rest)}\n"
    )


def outcomes_of(records: Sequence[Record], outcome: str) -> int:
    """How many ended like that."""
    return sum(each.outcome == outcome for each in records)


def _times(records: Sequence[Record], kind: str) -> dict[str, str]:
    seconds = [each.ended - each.asked for each in records if each.kind == kind]
    turns = [
        each.ended - each.started
        for each in records
        if each.kind == kind and each.started is not None and each.kind in HEAVY
    ]
    return {
        "seconds, median": f"{np.median(seconds):.2f}",
        "of them at work": f"{np.median(turns):.2f}" if turns else "",
    }


def _lights(light: Mapping[str, Sequence[float]]) -> str:
    if not light:
        return "No light request was asked for while a heavy one ran.\n"
    lines = []
    for kind in (kind for kind in LIGHT if kind in light):
        median, high = np.percentile(light[kind], [50, 95])
        lines.append(
            {"kind": kind, "requests": f"{len(light[kind])}", "median (s)": f"{median:.3f}", "p95 (s)": f"{high:.3f}"}
        )
    return f"Light requests that were asked for while a heavy one ran:\n\n{markdown(lines)}"


def _breaking(waits: Sequence[Broken]) -> str:
    if not waits:
        return "No job was broken off while it ran."
    median, high = np.percentile([each.wait for each in waits], [50, 95])
    tiles = [each.tiles for each in waits]
    return (
        f"{len(waits)} jobs were broken off while they ran. Of {sum(count <= 1 for count in tiles)} of them no more "
        f"than one tile began afterwards, {max(tiles)} at most; the turn of the next job came after {median:.2f} tiles "
        f"(median; p95 {high:.2f}), counted from the user's side, with the way to the server."
    )


def _memory(samples: Sequence[Sample], rest: Sequence[Sample]) -> str:
    found, before, after = growth(samples), rest[0], rest[-1]
    then = "" if found.after_200_mb is None else f" ({found.after_200_mb:.0f} after 200 requests)"
    return (
        f"Resident memory, 10^6 bytes: {before.resident_mb:.0f} before the users came, {found.warm_mb:.0f} at the end "
        f"of the warm-up, a quarter of the time{then}, {found.end_mb:.0f} at the end: {found.percent:+.1f} % (limit "
        f"{LIMIT:g} %), by least squares {found.slope:+.2f} per 100 requests. After they were gone: "
        f"{after.resident_mb:.0f}. Open files and connections: {before.open_files} before, {after.open_files} after. "
        f"Gradio's cache, whose files live for a day: {before.cached_files} files before, {after.cached_files} of "
        f"{after.cached_mb:.0f} MB after."
    )
