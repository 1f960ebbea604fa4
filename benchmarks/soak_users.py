"""People who use the workbench at once: what each does comes from a seed, and every answer is checked."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.soak_photos import Photos
from benchmarks.soak_window import API, Answer, Cut, Window

HEAVY = ("upscale", "compare", "lam", "attention", "architecture", "anchors", "cancel", "drop")
"""Kinds of requests that run a network: they queue."""
LIGHT = ("page", "static file", "welcome", "magnify", "download")
"""Kinds that do not."""
REFUSED = "bad input"
_OFTEN = {
    "upscale": 8, "compare": 3, "lam": 2, "attention": 2, "architecture": 2, "anchors": 0.1,
    "cancel": 3, "drop": 3, REFUSED: 5,
}  # fmt: skip
"""Of all that a user does in the window where work is done."""
_STATIC = ("/theme.css", "/favicon.ico", f"{API}/info")


@dataclass(frozen=True)
class Record:
    """One request; times in seconds of the monotonic clock."""

    kind: str
    asked: float
    ended: float
    started: float | None
    event: str
    outcome: str
    """"answered", "refused", "cancelled", "dropped" or "wrong": what is not as it should be."""
    detail: str = ""
    cut_at: float | None = None
    """When it was broken off, if it was."""


class User:
    """One of them, with two windows: in one is worked, in the other looked around meanwhile.

    Args:
        http: to the workbench.
        photos: to send.
        seed: of all choices.
        told: takes every record.
        pause: seconds of rest between two looks, on average.
    """

    def __init__(
        self, http: httpx.AsyncClient, photos: Photos, seed: str, told: Callable[[Record], None], pause: float
    ) -> None:
        self._http, self._photos, self._told, self._pause = http, photos, told, pause
        self._working, self._looking = random.Random(f"{seed}-work"), random.Random(f"{seed}-look")

    async def use(self, until: float) -> None:
        """Works and looks until that time; what goes wrong on the way to the workbench is told too."""
        await asyncio.gather(self._persistently(self._work, until), self._persistently(self._look, until))

    async def _persistently(self, doing: Callable[[float], Awaitable[None]], until: float) -> None:
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                await doing(until)
            except httpx.HTTPError as error:
                self._told(Record("connection", begun, time.monotonic(), None, "", "wrong", repr(error)))

    async def _work(self, until: float) -> None:
        window = None
        while time.monotonic() < until:
            if window is None or self._working.random() < 0.1:  # as somebody who comes anew
                window = await self._open()
            [kind] = self._working.choices(list(_OFTEN), list(_OFTEN.values()))
            await self._do(kind, window)

    async def _look(self, until: float) -> None:
        """Opens the page, magnifies what it shows, fetches this and that, and rests in between."""
        window = None
        while time.monotonic() < until:
            await asyncio.sleep(self._looking.uniform(0.5, 1.5) * self._pause)
            if window is None or self._looking.random() < 0.15:
                window = await self._open()
                await self._checked("welcome", window.ask("load", []), lambda answer: len(answer.data) == 5)
            elif self._looking.random() < 0.3:
                await self._fetched("static file", self._looking.choice(_STATIC))
            else:
                await self._magnify(window, self._looking, 500)

    async def _open(self) -> Window:
        begun = time.monotonic()
        window = await Window.open(self._http)
        self._told(Record("page", begun, time.monotonic(), None, "", "answered"))
        return window

    async def _fetched(self, kind: str, path: str) -> None:
        begun = time.monotonic()
        reply = await self._http.get(path)
        outcome = "answered" if reply.status_code == 200 else "wrong"
        self._told(Record(kind, begun, time.monotonic(), None, "", outcome, f"{path}: HTTP {reply.status_code}"))

    async def _do(self, kind: str, window: Window) -> None:
        if kind == "upscale":
            await self._upscale(window)
        elif kind in ("cancel", "drop"):
            await self._break_off(kind, window)
        elif kind == REFUSED:
            await self._refused(window)
        else:
            name, values = await self._question(kind, window)
            await self._checked(kind, window.ask(name, values), lambda answer: bool(answer.data))

    async def _upscale(self, window: Window) -> None:
        """And downloads the result, which must be that of the command line to the byte."""
        draw = self._working
        photo, scale = draw.choice(self._photos.small), draw.choice((2, 3, 4))
        tile, name = draw.choice(("auto", "32")), draw.choice(("PNG", "JPEG", "WebP", "TIFF"))
        model = f"promptsr-tiny-x{scale}"
        values = [await window.send(photo), model, "bicubic", tile, name]
        ask = window.call if draw.random() < 0.25 else window.ask
        answer = await self._checked("upscale", ask("upscale", values), lambda answer: len(answer.data) == 5)
        if answer is None:
            return
        begun = time.monotonic()
        content = await window.fetch(answer.data[3])
        ended = time.monotonic()
        right = content == await asyncio.to_thread(self._photos.expected, photo, model, tile, name)
        outcome = "answered" if right else "wrong"
        self._told(Record("download", begun, ended, None, "", outcome, f"{photo.name}, {model}, {tile}, {name}"))
        if draw.random() < 0.5 and ask == window.ask:
            await self._magnify(window, draw, 80)  # pixels, as many as the least result has

    async def _magnify(self, window: Window, draw: random.Random, side: int) -> None:
        place = [draw.randrange(side), draw.randrange(side), draw.randint(1, 24), None]
        await self._checked("magnify", window.ask("magnify", place), lambda answer: len(answer.data) == 3)

    async def _break_off(self, how: str, window: Window) -> None:
        """While it waits for its turn, or after some tiles: those that are told of, which are not all."""
        tiles = self._working.randint(0, 3)

        def enough(line: str) -> bool:
            done = re.search(r"-x4: (\d+) of", line)
            return "estimation" in line if tiles == 0 else done is not None and int(done[1]) >= tiles

        cut = Cut(how, enough)
        values = [await window.send(self._photos.large), "promptsr-tiny-x4", "bicubic", "64", "PNG"]
        await self._checked(
            how,
            window.ask("upscale", values, cut),
            lambda answer: answer.cut == how or len(answer.data) == 5,  # or it was done before that was told
        )

    async def _refused(self, window: Window) -> None:
        """Asks for what cannot be, and must be told why in the words that are known."""
        name, values, message = self._working.choice(self._photos.refused)
        values = [await window.send(value) if isinstance(value, Path) else value for value in values]
        answer = await window.ask(name, values)
        outcome = "refused" if message in (answer.error or "") else "wrong"
        self._told(
            Record(REFUSED, answer.asked, answer.ended, answer.started, answer.event, outcome, str(answer.error))
        )

    async def _question(self, kind: str, window: Window) -> tuple[str, list[Any]]:
        draw, model = self._working, "promptsr-tiny-x4"
        if kind == "anchors":
            return kind, [None, model, "mean", 4, 1, 5, draw.randrange(100)]
        photo = await window.send(draw.choice(self._photos.small))
        x, y = draw.randrange(38), draw.randrange(38)
        if kind == "compare":
            return kind, [photo, "shrink", None, ["bicubic-x2", "promptsr-tiny-x2"], "auto"]
        if kind == "lam":
            return kind, [photo, "enlarge", 4, [model], 4 * x, 4 * y, 16, draw.randint(1, 3)]
        if kind == "attention":
            return kind, [photo, model, draw.randint(1, 4), draw.randint(1, 2), x, y, False]
        return kind, [photo, model, 1, draw.randint(1, 2), draw.choice(("anchors", "coarse_map", "decoder")), x, y]

    async def _checked(self, kind: str, asking: Awaitable[Answer], right: Callable[[Answer], bool]) -> Answer | None:
        """The answer, if it is what was asked for."""
        answer = await asking
        if answer.error is None and right(answer):
            outcome = {"cancel": "cancelled", "drop": "dropped"}.get(answer.cut or "", "answered")
        else:
            outcome = "wrong"
        detail = f"{answer.error}" if outcome == "wrong" else ""
        self._told(
            Record(kind, answer.asked, answer.ended, answer.started, answer.event, outcome, detail, answer.cut_at)
        )
        return answer if outcome == "answered" else None
