"""The tab *Compare* without a browser: its numbers and pixels against the models themselves, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis.comparison.compare import Region, luma_error, region_scores
from promptsr import load_model
from promptsr.data import load_hr
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging import decode
from tests.workbench.conftest import pixels

if TYPE_CHECKING:
    from tests.workbench.conftest import Server

NAMES = ["bicubic-x4", "own-tiny"]


def compare(client: Client, image: Path | None, **changed: Any) -> tuple[list[dict[str, Any]], str]:
    """The rows of the table and the status."""
    arguments = {"way": "shrink", "hr_image": None, "names": NAMES, "tile": "whole", **changed}
    if arguments["hr_image"]:
        arguments["hr_image"] = handle_file(arguments["hr_image"])
    sent = None if image is None else handle_file(image)
    rows, news = client.predict(sent, *arguments.values(), api_name="/compare")
    return rows, news


def shown(client: Client, name: str) -> np.ndarray:
    """A picture of the comparison as the slider shows it."""
    return pixels(client.predict(name, name, api_name="/compare_pair")[1])


def test_table_holds_the_scores_of_the_benchmark(client: Client, server: Server, garden: Path) -> None:
    rows, news = compare(client, garden)
    assert [row["model"] for row in rows] == NAMES
    for row, model in zip(rows, (load_model("bicubic-x4"), load_model(server.weights)), strict=True):
        [score] = evaluate(model, [(garden, None)])
        assert (row["psnr_y"], row["ssim_y"]) == pytest.approx((score.psnr_y, score.ssim_y), abs=1e-6)
        assert row["parameters"] == model.parameters and 0 < row["seconds"] < 60
    assert "30 × 21" in news and "120 × 84" in news and "4 pixels at the border" in news


def test_pictures_are_exact(client: Client, server: Server, garden: Path, plain_photo: Path, tmp_path: Path) -> None:
    compare(client, garden)
    np.testing.assert_array_equal(shown(client, "HR"), pixels(str(garden))[:84, :120])

    compare(client, plain_photo, way="enlarge", tile="16")
    target = tmp_path / "expected.png"
    server.expected(plain_photo, target, tile=16)
    np.testing.assert_array_equal(shown(client, "own-tiny"), pixels(str(target)))
    np.testing.assert_array_equal(shown(client, "Input"), pixels(str(plain_photo)).repeat(4, 0).repeat(4, 1))


def test_deep_photographs_are_scored_in_depth(client: Client, deep_photo: Path) -> None:
    rows, _ = compare(client, deep_photo)
    [score] = evaluate(load_model("bicubic-x4"), [(deep_photo, None)])
    assert rows[0]["psnr_y"] == pytest.approx(score.psnr_y, abs=1e-6)
    hr = shown(client, "HR")
    assert hr.dtype == np.uint16
    np.testing.assert_array_equal(hr, decode(deep_photo).color)


def test_a_given_hr_image_is_what_results_are_scored_by(client: Client, garden: Path, plain_photo: Path) -> None:
    hr = garden.with_name("hr.png")
    with Image.open(plain_photo) as small:
        small.resize((160, 96), Image.Resampling.LANCZOS).save(hr)
    rows, _ = compare(client, plain_photo, way="hr", hr_image=hr)
    [score] = evaluate(load_model("bicubic-x4"), [(hr, plain_photo)])
    assert rows[0]["psnr_y"] == pytest.approx(score.psnr_y, abs=1e-6)
    np.testing.assert_array_equal(shown(client, "HR"), pixels(str(hr)))


def test_without_hr_there_are_no_scores(client: Client, plain_photo: Path) -> None:
    rows, news = compare(client, plain_photo, way="enlarge")
    assert [(row["psnr_y"], row["ssim_y"]) for row in rows] == [(None, None)] * 2
    assert "border" not in news
    _, crops = client.predict(8, 12, 16, api_name="/compare_at")
    assert [crop["caption"] for crop in crops] == ["Input", *NAMES]


def test_crops_are_the_same_region_of_all(client: Client, server: Server, garden: Path) -> None:
    compare(client, garden)
    region = Region(33, 21, 30)
    whole, crops = client.predict(region.x, region.y, region.size, api_name="/compare_at")
    hr = load_hr(garden, 4)
    assert crops[0]["caption"] == "HR"
    for crop, name in zip(crops, ("HR", *NAMES), strict=True):
        expected = shown(client, name)[21:51, 33:63].repeat(12, 0).repeat(12, 1)  # 384 // 30 = 12
        np.testing.assert_array_equal(pixels(crop["image"]), expected)
        if name != "HR":
            sr = decode(Path(client.predict(name, name, api_name="/compare_pair")[0])).to_tensor()
            psnr, ssim = region_scores(sr, hr, region)
            assert crop["caption"].split() == [name, f"{psnr:.2f}", "dB", "/", f"{ssim:.4f}"]
    framed, plain = pixels(whole), shown(client, "HR")
    rows, columns = np.nonzero((framed != plain).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 52, 31, 64)  # two pixels around
    np.testing.assert_array_equal(framed[21:51, 33:63], plain[21:51, 33:63])


def test_maps_subtract_the_reference(client: Client, garden: Path) -> None:
    compare(client, garden)
    images = {
        name: decode(Path(client.predict(name, name, api_name="/compare_pair")[0])).to_tensor()
        for name in ("HR", *NAMES)
    }
    for reference, others in (("HR", NAMES), ("bicubic-x4", ["own-tiny"])):
        maps = client.predict(reference, 16, True, api_name="/compare_differences")
        assert [view["caption"].split(":")[0] for view in maps] == [f"{name} − {reference}" for name in others]
        for view, name in zip(maps, others, strict=True):
            mean = luma_error(images[name], images[reference]).abs().mean()
            assert f"{mean:.2f} grey levels" in view["caption"]
            with Image.open(view["image"]) as drawn:
                assert drawn.width > 400
    absolute = client.predict("HR", 16, False, api_name="/compare_differences")
    narrow = client.predict("HR", 8, True, api_name="/compare_differences")
    files = [Path(each[0]["image"]).read_bytes() for each in (maps, absolute, narrow)]
    assert len(set(files)) == 3


def test_figure_comes_in_three_formats(client: Client, garden: Path) -> None:
    compare(client, garden)
    preview, files = client.predict(33, 21, 30, api_name="/compare_figure")
    assert [Path(file).name for file in files] == [f"garden-comparison{suffix}" for suffix in (".png", ".pdf", ".svg")]
    png, pdf, svg = (Path(file).read_bytes() for file in files)
    assert pdf.startswith(b"%PDF") and b"<svg" in svg[:1000] and Path(preview).read_bytes() == png
    with Image.open(files[0]) as drawn:
        assert drawn.info["dpi"] == pytest.approx((300, 300), abs=0.1) and drawn.width > 1000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"names": ["bicubic-x4", "bicubic-x3"]}, "bicubic-x3 enlarges x3 and bicubic-x4 x4: compare models of one"),
        ({"names": [f"bicubic-x{n}" for n in (2, 3, 4)] + ["own-tiny", "x"]}, "Choose 1 to 4 different models, not"),
        ({"names": ["own-tiny", "own-tiny"]}, "Choose 1 to 4 different models, not own-tiny, own-tiny."),
        ({"names": []}, "Choose 1 to 4 different models, not none."),
        ({"names": ["../models/own-tiny"]}, "There is no model ../models/own-tiny"),
        ({"way": "hr"}, "There is no HR image yet"),
        ({"way": "guess"}, "is not in the list of choices: ['shrink', 'enlarge', 'hr']"),
        ({"tile": "7"}, "Tiles of 7 pixels are too small for own-tiny"),
    ],
)
def test_impossible_questions_are_refused(
    client: Client, plain_photo: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppError) as refusal:
        compare(client, plain_photo, **changed)
    assert message in str(refusal.value)


def test_unfit_images_are_refused(client: Client, plain_photo: Path, tmp_path: Path) -> None:
    tiny, large = tmp_path / "tiny.png", tmp_path / "large.png"
    Image.new("RGB", (40, 3)).save(tiny)
    Image.new("L", (1024, 1024)).save(large)
    for image, changed, message in (
        (None, {}, "There is no photograph yet"),
        (tiny, {}, "tiny.png is smaller than 4 pixels"),
        (large, {"way": "enlarge"}, "Results of 4096 x 4096 pixels are too large to compare (the limit is 8.4 mega"),
        (
            plain_photo,
            {"way": "hr", "hr_image": plain_photo},
            "The HR image has 40 x 24 pixels where x4 makes 160 x 96",
        ),
    ):
        with pytest.raises(AppError) as refusal:
            compare(client, image, **changed)
        assert message in str(refusal.value)


def test_what_is_not_there_cannot_be_shown(server: Server, client: Client, plain_photo: Path) -> None:
    with pytest.raises(AppError, match="nothing to show yet"):
        Client(server.url, verbose=False, analytics_enabled=False).predict(0, 0, 8, api_name="/compare_at")
    compare(client, plain_photo, way="enlarge")
    for arguments, api_name, message in (
        ((150, 0, 16), "/compare_at", r"window of 16 pixels at \(150, 0\) does not lie in the 160 x 96 image"),
        ((0, -1, 16), "/compare_figure", r"\(0, -1\) does not lie in the 160 x 96 image"),
        ((None, 0, 16), "/compare_at", "x must be a whole number, not nothing."),
        (("HR", "Input"), "/compare_pair", "There is no picture HR: choose one of Input, bicubic-x4, own-tiny"),
        (("HR", 8, True), "/compare_differences", "There is no picture HR"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(*arguments, api_name=api_name)
