"""The tab *Attribution* without a browser: its maps and numbers against `analysis`, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis import LocalAttributionMap, PathSettings, Region
from analysis.comparison.compare import region_scores
from promptsr import load_model
from promptsr.data import load_hr, make_lr
from promptsr.imaging import decode
from promptsr.imaging.metrics import quantize
from promptsr.support.errors import UserError
from promptsr.zoo.load import OWN_MODELS
from tests.workbench.conftest import pixels
from tests.zoo.adapters.test_own_folder import write_onnx
from workbench.sessions import models
from workbench.sessions.places import Place
from workbench.tabs import attribution as attribution_tab

if TYPE_CHECKING:
    from tests.workbench.conftest import Server

NAMES = ["bicubic-x4", "own-tiny"]
QUESTION = {"way": "shrink", "scale": 4, "models": NAMES, "x": 41, "y": 28, "window": 16, "steps": 4}


@pytest.fixture
def wide(garden: Path) -> Path:
    """100 x 75 pixels."""
    path = garden.with_name("wide.png")
    with Image.open(garden) as image:
        image.resize((100, 75)).save(path)
    return path


def attribute(client: Client, image: Path | None, **changed: Any) -> tuple[Any, ...]:
    """The whole picture, the rows of the table, the files, the status."""
    sent = None if image is None else handle_file(image)
    whole, rows, files, news = client.predict(sent, *{**QUESTION, **changed}.values(), api_name="/lam")
    return whole, rows, files, news


def blue(picture: np.ndarray) -> tuple[int, int, int, int]:
    """The outer edges of the frame around the window: left, right, top, bottom."""
    rows, columns = np.nonzero((picture == (26, 89, 255)).all(axis=2))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_maps_and_numbers_are_those_of_the_analysis(client: Client, server: Server, garden: Path) -> None:
    _, rows, files, news = attribute(client, garden)
    assert "16 × 16 at 41, 28" in news and "30 × 21" in news and "dimmed" not in news
    assert [Path(file).name for file in files] == [*(f"garden-{name}-lam.npz" for name in NAMES), "garden-lam.json"]
    assert json.loads(Path(files[2]).read_text()) == {"maps": rows}
    hr, region = load_hr(garden, 4), Region(41, 28, 16)
    lr = make_lr(hr, 4)
    for row, file, model in zip(rows, files, (load_model("bicubic-x4"), load_model(server.weights)), strict=False):
        expected = LocalAttributionMap(model).explain(lr, region, PathSettings(4), at_once=1)
        with np.load(file) as stored:
            largest = np.abs(expected.values).max()
            np.testing.assert_allclose(stored["attribution"], expected.values, atol=1e-3 * largest)
            np.testing.assert_allclose(stored["map"], expected.map, atol=1e-3)
            assert json.loads(str(stored["about"])) == row
        assert row["model"] == model.name and not row["preview"] and 0 < row["seconds"] < 60
        assert (row["di"], row["completeness_gap"]) == pytest.approx((expected.di, expected.completeness_gap), rel=1e-2)
        assert row["activated"]["0.05"] == pytest.approx(expected.activated(0.05), abs=2 / 630)
        settings = {"x": 41, "y": 28, "size": 16, "steps": 4, "patch": {"x": 0, "y": 0, "width": 30, "height": 21}}
        assert row["settings"].items() >= settings.items()
        scores = region_scores(quantize(model(lr)), hr, region)
        assert (row["psnr_y"], row["ssim_y"]) == pytest.approx(scores, abs=1e-3)


def test_large_inputs_are_cut_around_the_window(client: Client, wide: Path) -> None:
    whole, [row], files, news = attribute(client, wide, way="enlarge", models=["bicubic-x4"], x=300, y=200)
    # (300 + 8) / 4 - 32 = 45 is beyond 100 - 64 = 36, and (200 + 8) / 4 - 32 = 20 beyond 75 - 64 = 11
    assert "64 × 64 around the window" in news
    assert row["settings"]["patch"] == {"x": 36, "y": 11, "width": 64, "height": 64}
    assert (row["settings"]["x"], row["settings"]["y"]) == (300, 200) and row["psnr_y"] is None
    lr = decode(wide).to_tensor()[..., 11:75, 36:100]
    expected = LocalAttributionMap(load_model("bicubic-x4")).explain(
        lr, Region(300 - 144, 200 - 44, 16), PathSettings(4)
    )
    with np.load(files[0]) as stored:
        np.testing.assert_allclose(stored["map"], expected.map, atol=1e-3)
    seen, source = pixels(whole), pixels(str(wide)).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(seen[44:190, 144:], source[44:190, 144:])
    np.testing.assert_allclose(seen[:44], 0.4 * source[:44], atol=0.6)
    np.testing.assert_allclose(seen[:, :144], 0.4 * source[:, :144], atol=0.6)


def test_a_preview_comes_first(client: Client, garden: Path) -> None:
    job = client.submit(
        handle_file(garden), *{**QUESTION, "steps": 12, "models": ["bicubic-x4"]}.values(), api_name="/lam"
    )
    job.result(timeout=60)
    rows = [row for step in job.outputs() if isinstance(step[1], list) for row in step[1]]
    told = [(row["settings"]["steps"], row["preview"]) for row in rows]
    assert list(dict.fromkeys(told)) == [(10, True), (12, False)]


def test_pictures_are_drawn_again_without_a_model(client: Client, garden: Path) -> None:
    _, _, files, _ = attribute(client, garden)
    with np.load(files[1]) as stored:
        found = stored["map"]
    (strong, *_), _ = (drawn := client.predict(1, 0.2, api_name="/lam_overlay"))
    assert [view["caption"].split(":")[0] for view in drawn[0]] == NAMES
    assert all("square root" in view["caption"] and "Preview" not in view["caption"] for view in drawn[0])
    share = 100 * (found > 0.2).mean()
    assert drawn[1][1]["caption"] == f"own-tiny: {share:.1f} % of the pixels are above 20 % of the map."
    assert blue(pixels(strong["image"])) == (123 - 2, 123 + 48 + 1, 84 - 2, 84 + 48 + 1)  # 384 // 30 = 12: 12 x 41 / 4
    area = pixels(drawn[1][1]["image"])[6::12, 6::12].astype(int)
    colored, frame = np.ptp(area, axis=2) > 0, np.zeros(found.shape, bool)
    frame[6:12, 9:16] = True
    np.testing.assert_array_equal(colored[~frame], (found > 0.2)[~frame])
    plain, _ = client.predict(0, 0.2, api_name="/lam_overlay")
    for view in plain:  # the input alone
        center = pixels(view["image"])[6::12, 6::12].astype(int)
        assert np.ptp(center, axis=2)[~frame].max() == 0
    assert np.ptp(pixels(strong["image"]).astype(int), axis=2).max() > 200


def test_figure_comes_in_two_formats(client: Client, garden: Path) -> None:
    attribute(client, garden)
    preview, files = client.predict(api_name="/lam_figure")
    assert [Path(file).name for file in files] == ["garden-lam.png", "garden-lam.pdf"]
    png, pdf = (Path(file).read_bytes() for file in files)
    assert pdf.startswith(b"%PDF") and Path(preview).read_bytes() == png
    with Image.open(files[0]) as drawn:
        assert drawn.info["dpi"] == pytest.approx((300, 300), abs=0.1) and drawn.width > 1000


def test_a_flat_window_has_no_diffusion_index(client: Client, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (90, 90, 90)).save(grey)
    _, [row], files, _ = attribute(client, grey, models=["bicubic-x4"], x=20, y=20)
    assert row["di"] is None and row["completeness_gap"] is None and row["activated"]["0.01"] == 0
    with np.load(files[0]) as stored:
        assert not stored["map"].any()
    assert client.predict(0.9, 0.05, api_name="/lam_overlay")[1][0]["caption"].startswith("bicubic-x4: 0.0 %")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": 104}, "A window of 16 pixels at (104, 28) does not lie in the 120 x 84 image with 1 pixel to spare"),
        ({"y": -1}, "does not lie in the 120 x 84 image"),
        ({"x": None}, "x must be a whole number, not nothing."),
        ({"window": 0}, "A window of 0 pixels"),
        ({"window": 129}, "A window of 129 pixels is too large: use one of up to 128."),
        ({"steps": 0}, "The number of steps must be 1 to 200, not 0."),
        ({"steps": 201}, "The number of steps must be 1 to 200, not 201."),
        ({"models": []}, "Choose 1 to 4 different models, not none."),
        ({"models": ["own-tiny"] * 2}, "Choose 1 to 4 different models, not own-tiny, own-tiny."),
        ({"models": [f"bicubic-x{n}" for n in (2, 3, 4)] + ["own-tiny", "x"]}, "Choose 1 to 4 different models, not"),
        ({"models": ["bicubic-x3", "own-tiny"]}, "bicubic-x3 enlarges x3, not x4: compare models of one scale."),
        ({"models": ["../models/own-tiny"]}, "There is no model ../models/own-tiny"),
        ({"way": "hr"}, "is not in the list of choices: ['shrink', 'enlarge']"),
    ],
)
def test_impossible_questions_are_refused(client: Client, garden: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError) as refusal:
        attribute(client, garden, **changed)
    assert message in str(refusal.value)


def test_what_is_not_there_cannot_be_shown(server: Server, client: Client) -> None:
    with pytest.raises(AppError, match="There is no photograph yet"):
        attribute(client, None)
    stranger = Client(server.url, verbose=False, analytics_enabled=False)
    for arguments, api_name in (((0.9, 0.05), "/lam_overlay"), ((), "/lam_figure")):
        with pytest.raises(AppError, match="There is no map yet"):
            stranger.predict(*arguments, api_name=api_name)


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The models of this process: those that come with the package, and those of a folder."""
    monkeypatch.setenv(OWN_MODELS, str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    for kept in (models.known, models._kept):
        kept.cache_clear()
    yield tmp_path
    for kept in (models.known, models._kept):
        kept.cache_clear()


def test_models_without_gradients_are_not_offered(own_models: Path, garden: Path) -> None:
    write_onnx(own_models / "graph.onnx")
    assert sorted(models.of_scale(3)) == ["bicubic-x3", "graph", "promptsr-tiny-x3"]
    assert sorted(models.of_scale(3, gradients=True)) == models.pair(3, gradients=True)
    assert models.pair(3, gradients=True) == ["bicubic-x3", "promptsr-tiny-x3"]
    question = str(garden), "shrink", 3, ["bicubic-x3", "graph"], 30, 30, 16, 4
    with pytest.raises(UserError, match="graph gives no gradients, so it has no LAM: choose a PyTorch model"):
        next(attribution_tab.attribute(*question))
    place = Place(garden, "shrink", ("graph", "bicubic-x3"), Region(10, 20, 31))
    *_, names, _, _, _, _, asked = attribution_tab._case(place)
    assert names.value == ["bicubic-x3"]
    assert asked[1:] == (str(garden), "shrink", 3, ["bicubic-x3"], 17, 27, 16, 50)
    with pytest.raises(UserError, match="None of graph gives gradients"):
        attribution_tab._case(replace(place, models=("graph",)))


def test_a_cancelled_run_leaves_nothing_behind(own_models: Path, garden: Path) -> None:
    network = models.load("promptsr-tiny-x4").network
    network.train()
    work = attribution_tab.attribute(str(garden), "shrink", 4, ["promptsr-tiny-x4"], 41, 28, 16, 50)
    assert isinstance(work, Generator)
    assert any("1 of" in step[-1] for step in work)
    work.close()
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
