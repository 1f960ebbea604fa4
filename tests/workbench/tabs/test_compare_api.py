"""The tab *Compare* without a browser: its numbers and pixels against the models themselves, and what it refuses."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from PIL import Image

from analysis.common.image_windows import Region
from analysis.comparison.compare import luma_error, region_scores
from promptsr import load_model
from promptsr.data import load_hr
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging import decode
from promptsr.imaging.metrics import gmsd, luma
from promptsr.support.errors import UserError
from tests.workbench.conftest import NAMES, Server, ask, pixels, session
from workbench.tabs import compare as compare_tab

TRAINED = "promptsr-tiny-x4"
SCORES = ["psnr_y", "ssim_y", "ms_ssim", "gmsd"]
Compared = tuple[Client, tuple[list[dict[str, Any]], str]]


@pytest.fixture(scope="module")
def compared(server: Server, garden: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """A session with a comparison on the garden, and what it answered: the rows of the table, the status."""
    with session(server, tmp_path_factory.mktemp("downloads")) as client:
        yield client, ask(client, "compare", garden)


def shown(client: Client, name: str) -> np.ndarray:
    """A picture of the comparison as the slider shows it."""
    return pixels(client.predict(name, name, api_name="/compare_pair")[1])


def test_table_holds_the_scores_of_the_benchmark(compared: Compared, server: Server, garden: Path) -> None:
    client, (rows, news) = compared
    assert [row["model"] for row in rows] == NAMES
    for row, model in zip(rows, (load_model("bicubic-x4"), load_model(server.weights)), strict=True):
        [score] = evaluate(model, [(garden, None)])
        assert (row["psnr_y"], row["ssim_y"]) == pytest.approx((score.psnr_y, score.ssim_y), abs=1e-6)
        assert row["parameters"] == model.parameters and 0 < row["seconds"] < 60
        sr, hr = (
            decode(Path(client.predict(*[name] * 2, api_name="/compare_pair")[0])).to_tensor()
            for name in (row["model"], "HR")
        )
        assert (row["ms_ssim"], row["gmsd"]) == (None, pytest.approx(gmsd(sr, hr, 4)))
    assert "30 × 21" in news and "120 × 84" in news and "4 pixels at the border" in news
    assert "needs 176 pixels a side" in news
    np.testing.assert_array_equal(shown(client, "HR"), pixels(str(garden))[:84, :120])


def test_without_hr_pictures_are_exact_and_there_are_no_scores(
    client: Client, server: Server, plain_photo: Path, tmp_path: Path
) -> None:
    rows, news = ask(client, "compare", plain_photo, way="enlarge", tile="16")
    assert [[row[key] for key in SCORES] for row in rows] == [[None] * 4] * 2
    assert "border" not in news
    view = client.predict(8, 12, 16, api_name="/compare_at")
    assert [(each["name"], each["scores"]) for each in view["pictures"]] == [(name, "") for name in ("Input", *NAMES)]
    target = tmp_path / "expected.png"
    server.expected(plain_photo, target, tile=16)
    np.testing.assert_array_equal(shown(client, "own-tiny"), pixels(str(target)))
    np.testing.assert_array_equal(shown(client, "Input"), pixels(str(plain_photo)).repeat(4, 0).repeat(4, 1))
    archive, _ = client.predict(api_name="/compare_export")
    assert exported(archive).keys() == {"plain-LR.png", "plain-bicubic-x4.png", "plain-own-tiny.png"}


def test_deep_photographs_are_scored_in_depth(client: Client, deep_photo: Path) -> None:
    rows, _ = ask(client, "compare", deep_photo)
    [score] = evaluate(load_model("bicubic-x4"), [(deep_photo, None)])
    assert rows[0]["psnr_y"] == pytest.approx(score.psnr_y, abs=1e-6)
    hr = shown(client, "HR")
    assert hr.dtype == np.uint16
    np.testing.assert_array_equal(hr, decode(deep_photo).color)


def test_a_given_hr_image_is_what_results_are_scored_by(client: Client, garden: Path, plain_photo: Path) -> None:
    hr = garden.with_name("hr.png")
    with Image.open(plain_photo) as small:
        small.resize((160, 96), Image.Resampling.LANCZOS).save(hr)
    rows, _ = ask(client, "compare", plain_photo, way="hr", hr_image=handle_file(hr))
    [score] = evaluate(load_model("bicubic-x4"), [(hr, plain_photo)])
    assert rows[0]["psnr_y"] == pytest.approx(score.psnr_y, abs=1e-6)
    np.testing.assert_array_equal(shown(client, "HR"), pixels(str(hr)))


def test_loupe_has_the_pictures_and_the_scores_of_a_region(compared: Compared, garden: Path) -> None:
    client, _ = compared
    region = Region(33, 21, 30)
    view = client.predict(region.x, region.y, region.size, api_name="/compare_at")
    pictures = view.pop("pictures")
    assert view == {"width": 120, "height": 84, "x": 33, "y": 21, "size": 30}
    hr = load_hr(garden, 4)
    assert (pictures[0]["name"], pictures[0]["scores"]) == ("HR", "")
    for each, name in zip(pictures, ("HR", *NAMES), strict=True):
        np.testing.assert_array_equal(pixels(each["file"]), shown(client, name))
        if name != "HR":
            psnr, ssim = region_scores(decode(Path(each["file"])).to_tensor(), hr, region)
            assert (each["name"], each["scores"]) == (name, f"{psnr:.2f} dB / {ssim:.4f}")


def test_it_starts_where_results_differ_most(server: Server, garden: Path) -> None:
    *_, (comparison, _, _) = compare_tab.compare_models(str(garden), "shrink", None, ["bicubic-x4", TRAINED], "auto")
    a, b = (luma(decode(comparison.files[name]).to_tensor())[0, 0].numpy() for name in ("bicubic-x4", TRAINED))
    windows = np.lib.stride_tricks.sliding_window_view(np.abs(a - b), (40, 40)).mean(axis=(2, 3))
    best = np.unravel_index(windows.argmax(), windows.shape)
    x, y, size, *_ = compare_tab.present(None, None, 40, 16, True, comparison)
    assert (y, x, size) == (*best, 40)
    assert compare_tab.suggest("disagreement", 40, comparison) == (x, y, 40)
    assert compare_tab.present(3, 5, 40, 16, True, comparison)[:3] == (3, 5, 40)  # a place that was asked for stays
    *_, (alone, _, _) = compare_tab.compare_models(str(garden), "enlarge", None, ["bicubic-x4"], "auto")
    assert compare_tab.present(None, None, 40, 16, True, alone)[:3] == ((488 - 40) // 2, (348 - 40) // 2, 40)
    with pytest.raises(UserError, match="choose two models or more"):
        compare_tab.suggest("disagreement", 40, alone)


def test_maps_subtract_the_reference(compared: Compared) -> None:
    client, _ = compared
    images = {
        name: decode(Path(client.predict(name, name, api_name="/compare_pair")[0])).to_tensor()
        for name in ("HR", *NAMES)
    }
    for reference, others in (("HR", NAMES), ("bicubic-x4", ["own-tiny"])):
        for limit, signed, colors, low in (
            (16, True, "RdBu_r", -16),
            (8, True, "RdBu_r", -8),
            (16, False, "inferno", 0),
        ):
            maps, bar = client.predict(reference, limit, signed, api_name="/compare_differences")
            assert [view["caption"].split(":")[0] for view in maps] == [f"{name} − {reference}" for name in others]
            for view, name in zip(maps, others, strict=True):
                difference = luma_error(images[name], images[reference])
                assert f"{difference.abs().mean():.2f} grey levels" in view["caption"]
                shade = ScalarMappable(Normalize(low, limit), colors)
                values = difference if signed else difference.abs()
                drawn = shade.to_rgba(values.numpy(), bytes=True)[..., :3]
                np.testing.assert_array_equal(pixels(view["image"]), drawn)
            ticks = [f"{value:g}".replace("-", "−") for value in (low, (low + limit) / 2, limit)]
            assert re.findall("<span[^>]*>(.*?)</span>", bar) == ticks  # one bar for all of them


def test_figure_comes_in_three_formats(compared: Compared) -> None:
    client, _ = compared
    preview, files = client.predict(33, 21, 30, api_name="/compare_figure")
    assert [Path(file).name for file in files] == [f"garden-comparison{suffix}" for suffix in (".png", ".pdf", ".svg")]
    png, pdf, svg = (Path(file).read_bytes() for file in files)
    assert pdf.startswith(b"%PDF") and b"<svg" in svg[:1000] and Path(preview).read_bytes() == png


def exported(archive: str) -> dict[str, np.ndarray]:
    """The pictures in a ZIP."""
    with zipfile.ZipFile(archive) as zipped:
        return {name: np.asarray(Image.open(io.BytesIO(zipped.read(name)))) for name in zipped.namelist()}


def test_images_and_scores_are_exported_whole(compared: Compared) -> None:
    client, (rows, _) = compared
    archive, table = client.predict(api_name="/compare_export")
    assert [Path(archive).name, Path(table).name] == ["garden-images.zip", "garden-scores.csv"]
    images = exported(archive)
    assert images.pop("garden-LR.png").shape == (21, 30, 3)
    assert images.keys() == {f"garden-{name}.png" for name in ("HR", *NAMES)}
    for name in ("HR", *NAMES):
        np.testing.assert_array_equal(images[f"garden-{name}.png"], shown(client, name))
    written = pd.read_csv(table)
    assert [*written] == ["model", *SCORES, "seconds", "parameters"]
    pd.testing.assert_frame_equal(written, pd.DataFrame(rows)[[*written]].astype({"ms_ssim": float}))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("compare_at", (110, 0, 16), r"window of 16 pixels at \(110, 0\) does not lie in the 120 x 84 image"),
        ("compare_figure", (0, -1, 16), r"\(0, -1\) does not lie in the 120 x 84 image"),
        ("compare_pair", ("HR", "Input"), "There is no picture Input: choose one of HR, bicubic-x4, own-tiny"),
        ("compare_differences", ("Input", 8, True), "There is no picture Input"),
    ],
)
def test_what_is_not_there_cannot_be_shown(
    compared: Compared, name: str, values: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(AppError, match=message):
        compared[0].predict(*values, api_name=f"/{name}")
