"""Many users of the workbench at once: are answers right, refusals documented, and does its memory stay?

    python benchmarks/soak.py --minutes 10 --users 20 --seed 0    # to benchmarks/results/soak.md

The workbench runs in a process of its own. Ends with code 1 if an answer is wrong, heavy jobs overlap, or memory grows
by more than the limit. Linux only.
"""

import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import torch
import typer

from analysis.common.samples import write_samples
from benchmarks.passes import Settings
from benchmarks.report import RESULTS, command, head, publish_text
from benchmarks.served import TIMEOUT, Answer, Cut, Pass, Window, Workbench, overlapping, serving
from promptsr.cli.console import check_targets, log, run
from promptsr.imaging import decode, encode
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import ConfigError
from promptsr.support.markdown_tables import markdown
from promptsr.zoo.load import load_model

WARM_UP = 0.25
"""Share of the time: until then caches fill, and memory may grow."""
LIMIT = 5.0
"""Per cent that memory may grow after the warm-up."""
_REST = 20.0
"""Seconds after the last user, for connections to end."""
_TINY = "promptsr-tiny-x4"
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}
_ADVANCED = [95, 256, False, "cpu", "model", 2.0]
"""Values of the drawer *Advanced* as they are at first, with the quality."""
_OFTEN = {"upscale": 8, "compare": 3, "lam": 2, "attention": 2, "architecture": 2, "cancel": 3, "drop": 3, "refused": 5}
"""Relative frequency of the requests that wait for the device, and of those that must be refused."""


@dataclass
class Record:
    """Requests of users: seconds of every request by kind, and a line for each answer that was wrong."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, seconds: float, wrong: str | None = None) -> None:
        """Add a request."""
        self.seconds.setdefault(kind, []).append(seconds)
        if wrong is not None:
            self.wrong.append(f"{kind}: {wrong}")

    @property
    def requests(self) -> int:
        """Number of all requests."""
        return sum(map(len, self.seconds.values()))


class Photos:
    """Photographs to send: small ones, a larger one, and questions that must be refused."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self.small = write_samples(folder / "small", 64)
        self.large = write_samples(folder / "large", 320)[4]
        photo, text, cut = self.small[0], folder / "notes.png", folder / "cut.png"
        text.write_text("No image at all.", encoding="utf-8")
        cut.write_bytes(photo.read_bytes()[:-900])
        self.refused: list[tuple[str, list[Any], str]] = [
            ("upscale", [text, _TINY, "bicubic", "auto", "PNG", *_ADVANCED], "notes.png is not an image we read"),
            ("upscale", [cut, _TINY, "bicubic", "auto", "PNG", *_ADVANCED], "cut.png is damaged or incomplete"),
            ("upscale", [None, _TINY, "bicubic", "auto", "PNG", *_ADVANCED], "There is no photograph yet"),
            (
                "upscale",
                [photo, "../weights/x", "bicubic", "auto", "PNG", *_ADVANCED],
                "There is no model ../weights/x",
            ),
            ("upscale", [photo, _TINY, "bicubic", "7", "PNG", *_ADVANCED], "Tiles of 7 pixels are too small"),
            ("compare", [photo, "shrink", None, [], "auto"], "Choose 1 to 4 different models, not none."),
            ("attention", [photo, "bicubic-x4", 1, 1, 0, 0, False], "bicubic-x4 is no PromptSR network"),
            ("architecture", [photo, _TINY, 1, 1, "encoder", 9999, 0], "lies outside of the"),
        ]

    def expected(self, photo: Path, model: str, tile: str, name: str) -> bytes:
        """Return the file that the command line writes."""
        with self._lock:
            return self._expected(photo, model, tile, name)

    @lru_cache  # noqa: B019 (lives as long as the program)
    def _expected(self, photo: Path, model: str, tile: str, name: str) -> bytes:
        file = self._folder / f"expected{_SUFFIXES[name]}"
        upscaler = Upscaler(load_model(model), tile=int(tile) if tile.isdecimal() else tile)
        encode(upscaler(decode(photo)).picture, file)
        return file.read_bytes()


class User:
    """One person with a page to work in and one to look around; all choices come from a seed."""

    def __init__(self, http: httpx.AsyncClient, photos: Photos, seed: str, record: Record, pause: float) -> None:
        self._http, self._photos, self._record, self._pause = http, photos, record, pause
        self._draw = random.Random(seed)

    async def use(self, until: float) -> None:
        """Work and look around until that time of the monotonic clock."""
        await asyncio.gather(self._work(until), self._look(until))

    async def _open(self) -> Window:
        begun = time.monotonic()
        window = await Window.open(self._http)
        self._record.add("page", time.monotonic() - begun)
        return window

    async def _work(self, until: float) -> None:
        window = await self._open()
        while time.monotonic() < until:
            if self._draw.random() < 0.1:  # like a new visitor
                window = await self._open()
            [kind] = self._draw.choices(list(_OFTEN), list(_OFTEN.values()))
            if kind in ("cancel", "drop"):
                await self._cancel(window, kind)
            elif kind in ("upscale", "refused"):
                await getattr(self, f"_{kind}")(window)
            else:
                await self._question(kind, window)

    async def _look(self, until: float) -> None:
        window: Window | None = None
        while time.monotonic() < until:
            await asyncio.sleep(self._draw.uniform(0.5, 1.5) * self._pause)
            if window is None or self._draw.random() < 0.15:
                window = await self._open()  # there is nothing to magnify before the sample is loaded
                await self._ask("load", "_welcome", window, [], lambda answer: len(answer.data) == 5)
            place = [self._draw.randrange(500), self._draw.randrange(500), self._draw.randint(1, 24), None]
            await self._ask("magnify", "magnify", window, place, lambda answer: len(answer.data) == 3)

    async def _ask(
        self, kind: str, name: str, window: Window, values: list[Any], right: Callable[[Answer], bool], cut: Any = None
    ) -> Answer:
        answer = await window.ask(name, values, cut)
        fits = answer.error is None and right(answer)
        self._record.add(kind, answer.ended - answer.asked, None if fits else f"{answer.error or answer.data}")
        return answer

    async def _upscale(self, window: Window) -> None:
        """Upscale, and download the result, which must equal that of the command line."""
        draw = self._draw
        photo, model = draw.choice(self._photos.small), f"promptsr-tiny-x{draw.choice((2, 3, 4))}"
        tile, name = draw.choice(("auto", "32")), draw.choice(list(_SUFFIXES))
        values = [await window.send(photo), model, "bicubic", tile, name, *_ADVANCED]
        answer = await self._ask("upscale", "upscale", window, values, lambda answer: len(answer.data) == 5)
        if answer.error is None:
            begun = time.monotonic()
            content = await window.fetch(answer.data[3])
            seconds = time.monotonic() - begun
            same = content == await asyncio.to_thread(self._photos.expected, photo, model, tile, name)
            self._record.add("download", seconds, None if same else f"{photo.name}, {model}, {tile}, {name}")

    async def _question(self, name: str, window: Window) -> None:
        draw = self._draw
        x, y = (draw.randrange(38) for _ in "xy")
        questions: dict[str, list[Any]] = {
            "compare": ["shrink", None, ["bicubic-x2", "promptsr-tiny-x2"], "auto"],
            "lam": ["enlarge", 4, [_TINY], 4 * x, 4 * y, 16, draw.randint(1, 3)],
            "attention": [_TINY, draw.randint(1, 4), draw.randint(1, 2), x, y, False],
            "architecture": [_TINY, 1, draw.randint(1, 2), draw.choice(("anchors", "coarse_map", "decoder")), 20, 20],
        }
        photo = await window.send(draw.choice(self._photos.small))
        await self._ask(name, name, window, [photo, *questions[name]], lambda answer: bool(answer.data))

    async def _cancel(self, window: Window, how: str) -> None:
        """Break a long job off: when its turn has come, or is still to come."""
        wanted = self._draw.choice(("estimation", "-x4: "))
        values = [await window.send(self._photos.large), _TINY, "bicubic", "64", "PNG", *_ADVANCED]
        cut = Cut(how, lambda line: wanted in line)
        await self._ask(how, "upscale", window, values, lambda answer: answer.cut == how or bool(answer.data), cut)

    async def _refused(self, window: Window) -> None:
        name, values, message = self._draw.choice(self._photos.refused)
        values = [await window.send(value) if isinstance(value, Path) else value for value in values]
        answer = await window.ask(name, values)
        known = message in (answer.error or "")
        self._record.add("refused", answer.ended - answer.asked, None if known else f"{answer.error}")


async def visit(
    workbench: Workbench, photos: Photos, seconds: float, users: int, seed: str, pause: float, record: Record
) -> None:
    """Let users come, and go after that time."""
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * users)
    async with httpx.AsyncClient(base_url=workbench.url, timeout=TIMEOUT, limits=limits) as http:
        await asyncio.gather(
            *(User(http, photos, f"{seed}-{number}", record, pause).use(until) for number in range(users))
        )


def report(record: Record, passes: Sequence[Pass], memory: Sequence[float], start: str) -> tuple[str, bool]:
    """Return Markdown, and whether all went well.

    Args:
        record: all requests.
        passes: through networks.
        memory: 10^6 bytes of the server before the first users, after the warm-up, and after the last ones.
        start: of the report: what was done, and on what machine.
    """
    before, warm, end = memory
    growth, mixed = 100 * (end / warm - 1), overlapping(passes)
    rows = []
    for kind, seconds in sorted(record.seconds.items()):
        median, high = np.percentile(seconds, [50, 95])
        rows.append(
            {"kind": kind, "requests": str(len(seconds)), "median, s": f"{median:.2f}", "p95, s": f"{high:.2f}"}
        )
    lines = "".join(f"\n- {line}" for line in record.wrong[:20])
    text = (
        f"{start}\n\n{record.requests} requests, {len(record.wrong)} answers that are not as documented."
        f"{lines}\n\n{markdown(rows)}\nHeavy requests queue for one device: of {len(passes)} passes through networks, "
        f"{mixed} began before one of another request had ended.\n\nResident memory without users and with garbage "
        f"collected, 10^6 bytes: {before:.0f} before the first users, {warm:.0f} after the warm-up, {end:.0f} at the "
        f"end: {growth:+.1f} % (limit {LIMIT:g} %).\n"
    )
    return text, not record.wrong and not mixed and growth <= LIMIT


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="For how long.")] = 10,
    users: Annotated[int, typer.Option(min=1, help="At once, each with two pages.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what they do.")] = 0,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two looks around, on average.")] = 8,
    output: Annotated[Path, typer.Option(help="Folder for soak.md.")] = RESULTS,
) -> None:
    """Let users come, write what came of it, and print it."""
    if not Path("/proc/self/status").exists():
        raise ConfigError("Memory is measured as Linux tells it: run this benchmark on Linux.")
    check_targets([output / "soak.md"], None)
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as workbench:
        photos, record = Photos(Path(name, "photos")), Record()
        log.print(f"{users} users at {workbench.url} for {minutes:g} minutes", highlight=False)
        memory = [workbench.resident()]
        for number, part in enumerate((WARM_UP, 1 - WARM_UP)):
            asyncio.run(visit(workbench, photos, 60 * minutes * part, users, f"{seed}-{number}", pause, record))
            time.sleep(_REST)
            workbench.collect()
            memory.append(workbench.resident())
        passes, said = workbench.passes(), workbench.log
    start = (
        f"{head('Soak', 'soak', Settings(torch.get_num_threads()))}\n\n{users} users at once for {minutes:g} minutes; "
        f"others take their places after {WARM_UP:.0%} of the time, the warm-up."
    )
    text, good = report(record, passes, memory, start)
    publish_text(output / "soak.md", text)
    if "Traceback" in said:
        log.print(f"The workbench printed:\n{said[said.index('Traceback') :][:3000]}", markup=False, highlight=False)
    if not good or "Traceback" in said:
        raise typer.Exit(1)


app = command(soak)

if __name__ == "__main__":
    run(app)
