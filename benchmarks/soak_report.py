"""What a soak comes to: numbers from its records, and the report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.soak_server import Pass
from benchmarks.soak_users import HEAVY, LIGHT, Record
from promptsr.support.markdown_tables import markdown

WARM_UP = 0.25
"""Of the time: until then caches fill, and memory may grow."""
LIMIT = 5.0
"""Per cent that memory may grow after the warm-up."""


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    minutes: float
    """Since the first users came."""
    requests: int
    """That have ended by then."""
    resident_mb: float
    open_files: int
    cached_files: int
    cached_mb: float


@dataclass(frozen=True)
class Memory:
    """That is resident, in 10^6 bytes."""

    warm: float
    """After the warm-up."""
    end: float
    slope: float
    """Per 100 requests from then on."""

    @property
    def percent(self) -> float:
        """By which it has grown from the end of the warm-up to the end."""
        return 100 * (self.end / self.warm - 1)


def memory_at_rest(rest: Sequence[Sample]) -> Memory:
    """When nobody asks and garbage is collected: before the first users, after the warm-up, and after the last ones."""
    _, warm, end = rest
    more = max(1, end.requests - warm.requests)
    return Memory(warm.resident_mb, end.resident_mb, 100 * (end.resident_mb - warm.resident_mb) / more)


def memory_at_work(samples: Sequence[Sample]) -> Memory:
    """While users are there, with garbage and the peak of the job that runs: medians of the first and the last third of
    the time after the warm-up, and the slope by least squares.
    """
    memory, requests = (np.array([getattr(each, name) for each in samples]) for name in ("resident_mb", "requests"))
    third = max(1, len(samples) // 3)
    slope = np.polyfit(requests, memory, 1)[0] if len(np.unique(requests)) > 1 else 0.0
    return Memory(float(np.median(memory[:third])), float(np.median(memory[-third:])), 100 * float(slope))


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
        samples: of the server while users were there, after the warm-up.
        head: what was done, and on what machine.
        rest: the server before the first users, after the warm-up, and after the last ones.
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
    before, warm, after = rest
    still, busy = memory_at_rest(rest), memory_at_work(samples)
    return (
        f"Resident memory, 10^6 bytes: {before.resident_mb:.0f} before the first users. With nobody there and garbage "
        f"collected, {still.warm:.0f} after the warm-up ({warm.requests} requests) and {still.end:.0f} at the end "
        f"({after.requests}): {still.percent:+.1f} % (limit {LIMIT:g} %), {still.slope:+.2f} per 100 requests. While "
        f"users were there, with garbage and the peaks of jobs: {busy.warm:.0f} in the first third of the time after "
        f"the warm-up, {busy.end:.0f} in the last (medians): {busy.percent:+.1f} % (limit {LIMIT:g} %), by least "
        f"squares {busy.slope:+.2f} per 100 requests.\n\nOpen files and connections: {before.open_files}, "
        f"{warm.open_files} and {after.open_files} at these three times. Gradio's cache, whose files live for a day: "
        f"{before.cached_files}, {warm.cached_files} and {after.cached_files} files, {after.cached_mb:.0f} MB at last."
    )
