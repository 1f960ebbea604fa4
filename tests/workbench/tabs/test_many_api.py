"""The tab *Many photographs* without a browser: names and bytes are those of the command, and a bad one costs none."""

import json
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image
from typer.testing import CliRunner

from promptsr.cli import app
from promptsr.imaging import Picture
from promptsr.support.errors import UserError
from tests.workbench.conftest import Server, ask
from workbench.server import limits
from workbench.server.limits import Limits
from workbench.sessions import many as sessions
from workbench.sessions.uploads import read_photograph
from workbench.tabs import many
from workbench.ui.advanced import DEFAULTS


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good and bad ones; three results would have one name."""
    folder, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(4)
    found = {name: folder / name for name in ("a.png", "a.jpg", "A.webp", "b.tif", "notes.png", "cut.png", "pages.tif")}
    for index, path in enumerate(found.values()):
        Image.fromarray(rng.integers(0, 256, (9 + index, 14, 3), np.uint8)).save(path)
    found["notes.png"].write_text("No image at all.")
    found["cut.png"].write_bytes(found["cut.png"].read_bytes()[:200])
    pages = [Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)) for _ in range(3)]
    pages[0].save(found["pages.tif"], save_all=True, append_images=pages[1:])
    return found


def unpacked(archive: str | Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.testzip() is None
        return {name: zipped.read(name) for name in zipped.namelist()}


@pytest.mark.parametrize(
    ("changed", "options"), [({}, ["--format", "png"]), ({"output_format": "JPEG", "quality": 50}, ["--quality", "50"])]
)
def test_the_zip_holds_what_the_command_writes(
    client: Client,
    server: Server,
    photos: dict[str, Path],
    tmp_path: Path,
    changed: dict[str, Any],
    options: list[str],
) -> None:
    rows, archive, news = ask(client, "upscale_many", list(photos.values()), **changed)
    if changed:
        options += ["--format", "jpg"]
    command: list[str | Path] = [
        "upscale",
        *photos.values(),
        "--model",
        server.weights,
        "--output",
        tmp_path / "out",
        "--tile",
        "16",
    ]
    command += ["--frame", "1", *options, "--json", tmp_path / "out.json"]
    outcome = CliRunner().invoke(app, list(map(str, command)))
    assert outcome.exit_code != 0  # for the bad ones
    report = json.loads((tmp_path / "out.json").read_text())
    expected = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert unpacked(archive) == expected and len(expected) == 5
    names = {Path(image["input"]).name: Path(image["output"]).name for image in report["images"]}
    reasons = {Path(each["input"]).name: each["reason"] for each in report["failed"]}
    assert [row["photograph"] for row in rows] == list(photos)
    assert {row["photograph"]: row["result"] for row in rows if row["state"] == "done"} == names
    assert {row["photograph"]: row["notes"] for row in rows if row["state"] == "failed"} == reasons
    assert set(reasons) == {"notes.png", "cut.png"}
    assert next(row["notes"] for row in rows if row["photograph"] == "pages.tif").startswith("Frame 1 of 3 is shown")
    assert "5 of 7" in news and next(row["size"] for row in rows) == "56 × 36"


def test_more_than_the_limit_are_refused(client: Client, photos: dict[str, Path], tmp_path: Path) -> None:
    several = []
    for index in range(Limits().photos + 1):
        several.append(tmp_path / f"{index}.png")
        several[-1].write_bytes(photos["a.png"].read_bytes())
    with pytest.raises(AppError, match="Send up to 24 photographs, not 25: the command line takes more"):
        ask(client, "upscale_many", several)


class TestStates:
    """States of a question, without a server."""

    @pytest.fixture(autouse=True)
    def fresh(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
        monkeypatch.setattr(limits, "_in_force", Limits())
        sessions._outcomes.clear()

    def question(self, paths: list[Path], model: str = "bicubic-x2", name: str = "PNG") -> tuple[Any, ...]:
        return [str(path) for path in paths], model, name, 95, *DEFAULTS

    def states(self, question: tuple[Any, ...]) -> list[str]:
        *_, rows = many._listed(*question)
        return [row["state"] for row in rows]

    def test_what_is_finished_stays_and_only_the_rest_is_done(
        self, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = [photos[name] for name in ("a.png", "a.jpg", "b.tif")]
        question = self.question(good)
        assert self.states(question) == ["waiting"] * 3
        with pytest.raises(UserError, match="No photograph is finished yet"):
            many._pack(*question)
        work = many._upscale(*question)
        assert [row["state"] for row in next(work)[0]] == ["at work", "waiting", "waiting"]
        while "2 of 3" not in next(work)[-1]:
            pass
        work.close()  # as Cancel does
        assert self.states(question) == ["done", "waiting", "waiting"]
        assert list(unpacked(many._pack(*question))) == ["a-png.png"]

        read: list[str] = []

        def reading(path: Path) -> Picture:
            read.append(path.name)
            return read_photograph(path)

        monkeypatch.setattr(sessions, "read_photograph", reading)
        *_, (rows, news) = many._upscale(*self.question([*good, photos["notes.png"]]))
        assert [row["state"] for row in rows] == ["done"] * 3 + ["failed"] and "3 of 4" in news
        assert read == ["a.jpg", "b.tif"]
        assert self.states(self.question(good, "bicubic-x3")) == ["waiting"] * 3
        assert self.states(self.question(good, name="TIFF")) == ["waiting"] * 3

    def test_one_is_tried_again_alone(self, tmp_path: Path, photos: dict[str, Path]) -> None:
        late = tmp_path / "late.png"
        whole = photos["a.png"].read_bytes()
        late.write_bytes(whole[:-30])
        question = self.question([photos["cut.png"], late])
        *_, (rows, _) = many._upscale(*question)
        assert [row["state"] for row in rows] == ["failed", "failed"]
        late.write_bytes(whole)
        *_, (rows, _) = many._again(gr.EventData(None, {"index": 1}), *question)
        assert [row["state"] for row in rows] == ["failed", "done"]
        assert list(unpacked(many._pack(*question))) == ["late.png"]
        with pytest.raises(UserError, match="There is no such photograph"):
            list(many._again(gr.EventData(None, {"index": 2}), *question))

    def test_small_pictures_come_one_by_one(self, photos: dict[str, Path]) -> None:
        sessions._thumbnails.clear()
        steps = list(many._listed(*self.question(list(photos.values()))))
        counts = [sum(row["thumbnail"] is not None for row in rows) for rows in steps]
        assert counts[0] == 0 and counts[-1] == 5 and counts == sorted(counts)

    def test_a_single_bad_one_fails_as_one_of_many_does(self, photos: dict[str, Path]) -> None:
        *_, (rows, _) = many._upscale(*self.question([photos["notes.png"]]))
        assert [row["state"] for row in rows] == ["failed"]
        assert rows[0]["notes"].startswith("notes.png is not an image we read")

    def test_one_that_is_beyond_a_limit_costs_the_others_nothing(
        self, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "_in_force", Limits(output_pixels=4 * 14 * 9))
        *_, (rows, _) = many._upscale(*self.question([photos["b.tif"], photos["a.png"]]))
        assert [row["state"] for row in rows] == ["failed", "done"]
        assert "more than the limit" in rows[0]["notes"]

    def test_the_samples_are_taken_without_photographs(self) -> None:
        assert self.states((None, "bicubic-x2", "PNG", 95, *DEFAULTS)) == ["waiting"] * 6
