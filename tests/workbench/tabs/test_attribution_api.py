"""The tab *Attribution* without a browser: its maps and numbers against `analysis`, and what it refuses."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from PIL import Image

from analysis import PathSettings, Region
from analysis.lam.run import explain_window
from promptsr import load_model
from promptsr.data import load_hr, make_lr
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import OWN_MODELS
from tests.workbench.conftest import NAMES, Server, ask, pixels, session
from tests.zoo.adapters.conftest import write_onnx
from workbench.sessions import models
from workbench.sessions.places import Place
from workbench.tabs import attribution as attribution_tab


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


def blue(picture: np.ndarray) -> tuple[int, int, int, int]:
    """The outer edges of the frame around the window: left, right, top, bottom."""
    rows, columns = np.nonzero((picture == (26, 89, 255)).all(axis=2))
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


def test_figure_comes_in_two_formats(attributed: Attributed) -> None:
    client, _ = attributed
    preview, files = client.predict(api_name="/lam_figure")
    assert [Path(file).name for file in files] == ["garden-lam.png", "garden-lam.pdf"]
    png, pdf = (Path(file).read_bytes() for file in files)
    assert pdf.startswith(b"%PDF") and Path(preview).read_bytes() == png


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
