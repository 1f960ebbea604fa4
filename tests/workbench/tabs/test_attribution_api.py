"""The tab *Attribution* without a browser: its maps and numbers against `analysis`, and what it refuses."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from PIL import Image

from analysis import LocalAttributionMap, PathSettings, Region
from analysis.common.suggestions import KINDS
from analysis.common.suggestions import suggest as find_place
from analysis.lam.faithfulness import check_faithfulness
from analysis.lam.run import explain_window
from promptsr import load_model
from promptsr.data import load_hr, make_lr
from promptsr.imaging.metrics import quantize
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import OWN_MODELS
from tests.workbench.conftest import NAMES, Server, ask, pixels, session
from tests.zoo.adapters.conftest import write_onnx
from workbench.sessions import models
from workbench.sessions.places import Place
from workbench.tabs import attribution as attribution_tab
from workbench.tabs.window import suggest_window


@pytest.fixture
def wide(garden: Path) -> Path:
    """100 x 75 pixels."""
    path = garden.with_name("wide.png")
    with Image.open(garden) as image:
        image.resize((100, 75)).save(path)
    return path


Attributed = tuple[Client, tuple[Any, ...]]


@pytest.fixture(scope="module")
def attributed(server: Server, garden: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attributed]:
    """A session with maps of the garden, and what it answered: whole picture, rows, files, status."""
    with session(server, tmp_path_factory.mktemp("downloads")) as client:
        yield client, ask(client, "lam", garden)


def edges(picture: np.ndarray, color: tuple[int, int, int] = (26, 89, 255)) -> tuple[int, int, int, int]:
    """The outer edges of the frame around the window: left, right, top, bottom."""
    rows, columns = np.nonzero((picture == color).all(axis=2))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_maps_and_numbers_are_those_of_the_analysis(attributed: Attributed, server: Server, garden: Path) -> None:
    _, rows, files, news = attributed[1]
    assert "16 × 16 at 41, 28" in news and "30 × 21" in news and "dimmed" not in news
    assert [Path(file).name for file in files] == [*(f"garden-{name}-lam.npz" for name in NAMES), "garden-lam.json"]
    assert json.loads(Path(files[2]).read_text()) == {"maps": rows}
    hr = load_hr(garden, 4)
    networks = load_model("bicubic-x4"), load_model(server.weights)
    work = explain_window(networks, make_lr(hr, 4), Region(41, 28, 16), hr=hr, settings=PathSettings(4), at_once=1)
    expected = finish(work)
    for row, file, wanted, one in zip(rows, files, expected.rows, expected.attributions, strict=False):
        with np.load(file) as stored:
            largest = np.abs(one.values).max()
            np.testing.assert_allclose(stored["attribution"], one.values, atol=1e-3 * largest)
            np.testing.assert_allclose(stored["map"], one.map, atol=1e-3)
            assert json.loads(str(stored["about"])) == row
        assert row["model"] == wanted["model"] and not row["preview"] and 0 < row["seconds"] < 60
        assert (row["di"], row["completeness_gap"]) == pytest.approx((one.di, one.completeness_gap), rel=1e-2)
        assert row["activated"]["0.05"] == pytest.approx(one.activated(0.05), abs=2 / 630)
        assert row["settings"] == wanted["settings"]
        assert (row["psnr_y"], row["ssim_y"]) == pytest.approx((wanted["psnr_y"], wanted["ssim_y"]), abs=1e-3)


def test_large_inputs_are_cut_around_the_window(client: Client, wide: Path) -> None:
    whole, [row], _, news = ask(client, "lam", wide, way="enlarge", models=["bicubic-x4"], x=300, y=200)
    # (300 + 8) / 4 - 32 = 45 is beyond 100 - 64 = 36, and (200 + 8) / 4 - 32 = 20 beyond 75 - 64 = 11
    assert "64 × 64 around the window" in news
    assert row["settings"]["patch"] == {"x": 36, "y": 11, "width": 64, "height": 64}
    assert (row["settings"]["x"], row["settings"]["y"]) == (300, 200) and row["psnr_y"] is None
    seen, source = pixels(whole), pixels(str(wide)).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(seen[44:190, 144:], source[44:190, 144:])
    np.testing.assert_allclose(seen[:44], 0.4 * source[:44], atol=0.6)
    np.testing.assert_allclose(seen[:, :144], 0.4 * source[:, :144], atol=0.6)


def test_pictures_are_drawn_again_without_a_model(attributed: Attributed) -> None:
    client, (_, _, files, _) = attributed
    with np.load(files[1]) as stored:
        found = stored["map"]
    (strong, *_), _ = (drawn := client.predict(1, 0.2, api_name="/lam_overlay"))
    assert [view["caption"].split(":")[0] for view in drawn[0]] == NAMES
    assert all("square root" in view["caption"] and "Preview" not in view["caption"] for view in drawn[0])
    share = 100 * (found > 0.2).mean()
    assert drawn[1][1]["caption"] == f"own-tiny: {share:.1f} % of the pixels are above 20 % of the map."
    assert edges(pixels(strong["image"])) == (123 - 2, 123 + 48 + 1, 84 - 2, 84 + 48 + 1)  # 384 // 30 = 12: 12 x 41 / 4
    area = pixels(drawn[1][1]["image"])[6::12, 6::12].astype(int)
    colored, frame = np.ptp(area, axis=2) > 0, np.zeros(found.shape, bool)
    frame[6:12, 9:16] = True
    np.testing.assert_array_equal(colored[~frame], (found > 0.2)[~frame])
    plain, _ = client.predict(0, 0.2, api_name="/lam_overlay")
    for view in plain:  # the input alone
        center = pixels(view["image"])[6::12, 6::12].astype(int)
        assert np.ptp(center, axis=2)[~frame].max() == 0
    assert np.ptp(pixels(strong["image"]).astype(int), axis=2).max() > 200


def test_maps_have_one_scale_of_colours(attributed: Attributed) -> None:
    client, (_, _, files, _) = attributed
    sizes = [np.abs(np.load(file)["attribution"].sum(axis=0)) for file in files[:2]]
    strong, _ = client.predict(1, 0.2, api_name="/lam_overlay")
    plain, _ = client.predict(0, 0.2, api_name="/lam_overlay")
    frame = np.zeros(sizes[0].shape, bool)
    frame[6:12, 9:16] = True
    for size, colored, grey in zip(sizes, strong, plain, strict=True):
        share = np.sqrt(size / max(map(np.max, sizes)))[..., None]
        hot = np.concatenate([np.ones_like(share), 0.85 * (1 - share), np.zeros_like(share)], axis=2)
        found, pale = (pixels(view["image"])[6::12, 6::12] / 255 for view in (colored, grey))
        np.testing.assert_allclose(found[~frame], ((1 - share) * pale + share * hot)[~frame], atol=2 / 255)


def test_figure_comes_in_two_formats(attributed: Attributed) -> None:
    client, _ = attributed
    preview, files = client.predict(api_name="/lam_figure")
    assert [Path(file).name for file in files] == ["garden-lam.png", "garden-lam.pdf"]
    png, pdf = (Path(file).read_bytes() for file in files)
    assert pdf.startswith(b"%PDF") and Path(preview).read_bytes() == png


def test_maps_are_checked(attributed: Attributed, server: Server, garden: Path) -> None:
    client, (_, rows, *_) = attributed
    answer, figure, news = client.predict(api_name="/lam_check")
    assert "Checked." in news and answer.count("<p>") == len(rows)
    hr = load_hr(garden, 4)
    networks = load_model("bicubic-x4"), load_model(server.weights)
    work = explain_window(networks, make_lr(hr, 4), Region(41, 28, 16), hr=hr, settings=PathSettings(4), at_once=1)
    explanation = finish(work)
    patch = explanation.patch
    for network, attribution in zip(networks, explanation.attributions, strict=True):
        faithful = finish(check_faithfulness(network, patch.lr, attribution, patch.hr))
        assert faithful.sentence in answer
    with Image.open(figure) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 10


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The models of this process: those that come with the package, and those of a folder."""
    monkeypatch.setenv(OWN_MODELS, str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    for kept in (models._listing, models._kept):
        kept.cache_clear()
    yield tmp_path
    for kept in (models._listing, models._kept):
        kept.cache_clear()


def test_the_tab_opens_with_maps_of_the_bundled_weights(own_models: Path) -> None:
    """Which come with the page: `make maps` makes them anew."""
    question = attribution_tab.first_question()
    shown, whole, rows, files, news = attribution_tab._shipped()
    assert "16 × 16 at 77, 68" in news and Path(whole).exists() and all(Path(file).exists() for file in files)
    assert [row["model"] for row in rows] == question["names"] and not any(row["warning"] for row in rows)
    photo, region = attribution_tab.first_photograph(), Region(question["x"], question["y"], question["window"])
    hr = load_hr(photo, 4)
    bicubic = load_model("bicubic-x4")
    work = explain_window([bicubic], make_lr(hr, 4), region, hr=hr, side=64, settings=PathSettings(), at_once=1)
    wanted = finish(work)
    np.testing.assert_allclose(shown.explanation.attributions[0].values, wanted.attributions[0].values, atol=1e-5)
    [expected] = wanted.rows
    assert rows[0]["settings"] == expected["settings"] and rows[0]["psnr_y"] == pytest.approx(expected["psnr_y"])
    patch = wanted.patch
    for name, attribution in zip(question["names"], shown.explanation.attributions, strict=True):
        detector = LocalAttributionMap(load_model(name)).detect(patch.lr, patch.region)
        assert attribution.detector == pytest.approx(float(detector), rel=1e-3) and attribution.region == patch.region


def test_maps_of_other_weights_are_not_shown(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = attribution_tab.made_of(attribution_tab.first_question())
    monkeypatch.setattr(attribution_tab, "made_of", lambda question: made | {"steps": 10})
    with pytest.raises(gr.Error):
        attribution_tab._shipped()


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_suggested(own_models: Path, garden: Path, kind: str) -> None:
    names, hr = ["bicubic-x4", "promptsr-tiny-x4"], load_hr(garden, 4)
    lr = make_lr(hr, 4)
    results = [quantize(load_model(name)(lr)) for name in names]
    region = find_place(kind, lr, hr, results, 16)
    *_, (whole, x, y, news) = suggest_window(kind, str(garden), "shrink", 4, names, 16)
    assert (x, y) == (min(region.x, 120 - 17), min(region.y, 84 - 17)) and f"{x}, {y}" in news
    left, right, top, bottom = (edge // 4 for edge in edges(pixels(whole), (255, 51, 51)))
    assert (left + 1, top + 1) == (x, y) and (right, bottom) == (x + 16, y + 16)


def test_without_an_original_no_window_is_the_hardest(own_models: Path, garden: Path) -> None:
    with pytest.raises(UserError, match="hardest window is known by an HR image"):
        list(suggest_window("hardest", str(garden), "enlarge", 4, ["bicubic-x4"], 16))


def test_models_without_gradients_are_not_offered(own_models: Path, garden: Path) -> None:
    write_onnx(own_models / "graph.onnx")
    assert sorted(models.of_scale(3)) == ["bicubic-x3", "graph", "promptsr-tiny-x3", "promptsr-x3"]
    assert sorted(models.of_scale(3, gradients=True)) == ["bicubic-x3", "promptsr-tiny-x3", "promptsr-x3"]
    assert models.pair(3, gradients=True) == ["bicubic-x3", "promptsr-x3"]
    question = str(garden), "shrink", 3, ["bicubic-x3", "graph"], 30, 30, 16, 4
    with pytest.raises(UserError, match="graph gives no gradients, so it has no LAM: choose a PyTorch model"):
        next(attribution_tab.attribute(*question))
    place = Place(garden, "shrink", ("graph", "bicubic-x3"), Region(10, 20, 31))
    there = {"photo": str(garden), "way": "shrink", "scale": 3, "model": ["bicubic-x3"], "x": 17, "y": 27, "window": 16}
    assert attribution_tab._case(place) == there
    with pytest.raises(UserError, match="None of graph gives gradients"):
        attribution_tab._case(replace(place, models=("graph",)))
