"""Several users at once: right answers, one device, light pages, and places that become free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.served import TIMEOUT, Answer, Cut, Pass, Window, overlapping
from promptsr.imaging import decode
from tests.workbench.conftest import ADVANCED, Server

USERS = 5


def noise(seed: int, width: int, height: int, folder: Path) -> Path:
    """A photograph that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = folder / f"noise-{seed}.png"
    Image.fromarray(pixels).save(path)
    return path


@asynccontextmanager
async def windows(server: Server, count: int) -> AsyncIterator[list[Window]]:
    async with httpx.AsyncClient(base_url=server.url, timeout=TIMEOUT) as http:
        first = await Window.open(http)
        yield [first, *(Window(http, first.functions) for _ in range(count - 1))]


async def upscale(window: Window, photo: Path, tile: str, cut: Cut | None = None) -> Answer:
    values = [await window.send(photo), "own-tiny", "bicubic", tile, "PNG", *ADVANCED.values()]
    return await window.ask("upscale", values, cut)


def passes_of(server: Server, answers: list[Answer]) -> list[Pass]:
    events = {answer.event for answer in answers}
    return [each for each in server.passes() if each.event in events]


def test_users_at_once_get_their_own_right_answers_one_after_the_other(server: Server, tmp_path: Path) -> None:
    photos = [noise(seed, 40, 32, tmp_path) for seed in range(USERS)]

    async def use(window: Window, photo: Path) -> tuple[Answer, bytes, bytes]:
        answer = await upscale(window, photo, "16")
        assert answer.error is None
        looked = await window.ask("magnify", [80, 64, 1, None])  # at this zoom it is all of the result
        return answer, await window.fetch(answer.data[3]), await window.fetch(looked.data[2])

    async def visit() -> list[tuple[Answer, bytes, bytes]]:
        async with windows(server, USERS) as opened:
            return await asyncio.gather(*map(use, opened, photos))

    found = asyncio.run(visit())
    for number, (photo, (_, download, looked)) in enumerate(zip(photos, found, strict=True)):
        expected = tmp_path / f"expected-{number}.png"
        assert download == server.expected(photo, expected, tile=16)
        (tmp_path / "looked.png").write_bytes(looked)
        np.testing.assert_array_equal(decode(tmp_path / "looked.png").color, decode(expected).color)
    passes = passes_of(server, [answer for answer, _, _ in found])
    assert overlapping(passes) == 0
    counts = {sum(each.event == answer.event for each in passes) for answer, _, _ in found}
    assert len(counts) == 1 and counts.pop() > 1


def test_light_requests_are_answered_while_a_heavy_one_runs(server: Server, tmp_path: Path) -> None:
    photo = noise(0, 320, 320, tmp_path)

    async def visit() -> tuple[Answer, list[Any]]:
        async with windows(server, 2) as (worker, reader):
            at_work, enough = asyncio.Event(), asyncio.Event()

            def when(line: str) -> bool:
                if "own-tiny: " in line:
                    at_work.set()
                return enough.is_set()

            heavy = asyncio.create_task(upscale(worker, photo, "32", Cut("cancel", when)))
            await at_work.wait()
            light = [
                await Window.open(reader.http),
                await reader.ask("_welcome", []),
                await reader.ask("magnify", [5, 5, 6, None]),
                (await reader.http.get("/theme.css")).raise_for_status(),
            ]
            assert not heavy.done()
            enough.set()
            return await heavy, light

    heavy, (_, loaded, magnified, _) = asyncio.run(visit())
    assert heavy.cut == "cancel" and heavy.started is not None  # it was still at work
    assert loaded.error is magnified.error is None and len(magnified.data) == 3
    assert heavy.started < loaded.asked < magnified.ended < heavy.ended


@pytest.mark.parametrize("how", ["cancel", "drop"])
def test_a_job_that_is_broken_off_frees_its_place_within_one_tile(server: Server, tmp_path: Path, how: str) -> None:
    # Tiles of 128 pixels: each takes longer than the request that breaks off.
    large, small = noise(0, 640, 640, tmp_path), noise(1, 40, 32, tmp_path)

    async def visit() -> tuple[Answer, Answer, bytes]:
        async with windows(server, 2) as (leaving, waiting):
            both_there = asyncio.Event()

            def when(line: str) -> bool:
                return both_there.is_set() and "own-tiny: " in line

            def queues(_line: str) -> bool:
                both_there.set()
                return False

            broken = asyncio.create_task(upscale(leaving, large, "128", Cut(how, when)))
            await asyncio.sleep(0)
            while not broken.done() and not server.passes()[before:]:
                await asyncio.sleep(0.01)
            answer = await upscale(waiting, small, "16", Cut("never", queues))
            return await broken, answer, await waiting.fetch(answer.data[3])

    before = len(server.passes())
    broken, following, download = asyncio.run(visit())
    assert broken.cut == how and broken.cut_at is not None and broken.error is None
    passes = passes_of(server, [broken, following])
    own = [each for each in passes if each.event == broken.event]
    assert 0 < len(own) < 20  # of 36
    # What is dropped without a word is noticed a little later.
    assert sum(each.begun > broken.cut_at for each in own) <= (1 if how == "cancel" else 3)
    assert following.started is not None and overlapping(passes) == 0
    assert download == server.expected(small, tmp_path / "expected.png", tile=16)
