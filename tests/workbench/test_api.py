"""The page without a browser: the tabs *Upscale* and *Architecture*, and what the endpoints of all tabs refuse."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image
from typer.testing import CliRunner

from promptsr import Upscaler, load_model
from promptsr.cli import app
from promptsr.imaging import decode
from promptsr.zoo.load import list_models
from tests.workbench.conftest import QUESTIONS, Server, ask, pixels, session


def rounded(deep: np.ndarray) -> np.ndarray:
    """16 bits to 8."""
    return np.floor(deep / 257 + 0.5).astype(np.uint8)


def test_download_is_what_the_command_line_writes(
    client: Client, server: Server, deep_photo: Path, tmp_path: Path
) -> None:
    (left, right), result, file, news = ask(client, "upscale", deep_photo)
    assert Path(file).name == "deep-own-tiny.png"
    assert Path(file).read_bytes() == server.expected(deep_photo, tmp_path / "expected.png", tile=16)
    assert "52 × 36" in news and "208 × 144" in news and "16 pixels" in news
    for path, model in ((left, load_model("bicubic-x4")), (right, load_model(server.weights))):
        expected = Upscaler(model, tile=16)(decode(deep_photo)).picture
        assert expected.alpha is not None
        np.testing.assert_array_equal(pixels(path), rounded(np.dstack([expected.color, expected.alpha])))
    np.testing.assert_array_equal(pixels(result), pixels(right))


@pytest.mark.parametrize(("name", "suffix"), [("JPEG", ".jpg"), ("WebP", ".webp"), ("TIFF", ".tif")])
def test_download_comes_in_the_chosen_format(
    client: Client, server: Server, plain_photo: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    file = Path(ask(client, "upscale", plain_photo, output_format=name)[2])
    assert file.name == f"plain-own-tiny{suffix}"
    assert file.read_bytes() == server.expected(plain_photo, tmp_path / f"expected{suffix}", tile=16)


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"size": "scale", "amount": 2.5}, ["--scale", "2.5"]),
        ({"size": "max_side", "amount": 100, "memory": 1}, ["--max-side", "100", "--memory", "1"]),
        ({"size": "height", "amount": 300, "self_ensemble": True}, ["--height", "300", "--self-ensemble"]),
        ({"output_format": "JPEG", "quality": 40}, ["--quality", "40"]),
    ],
)
def test_advanced_settings_are_those_of_the_command(
    client: Client, server: Server, plain_photo: Path, tmp_path: Path, changed: dict[str, Any], options: list[str]
) -> None:
    (left, right), _, file, news = ask(client, "upscale", plain_photo, tile="auto", **changed)
    target = tmp_path / f"expected{Path(file).suffix}"
    command: list[str | Path] = ["upscale", plain_photo, "--model", server.weights, "--output", target, *options]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    assert Path(file).read_bytes() == target.read_bytes()
    height, width = decode(target).color.shape[:2]
    assert pixels(left).shape == pixels(right).shape == (height, width, 3) and f"{width} × {height}" in news
    shown = [pixels(each) for each in client.predict(width - 1, height - 1, 8, api_name="/magnify")]
    assert shown[0].shape == shown[1].shape == shown[2].shape
    if Path(file).suffix == ".png":
        np.testing.assert_array_equal(shown[2][::8, ::8], pixels(file)[-48:, -48:])


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("upscale", {"model": "own-huge"}, "There is no model own-huge: choose one of"),
        ("upscale", {"model": "../models/own-tiny"}, "There is no model"),
        ("upscale", {"model": "promptsr-star-x2"}, "No weights come with promptsr-star-x2 yet"),
        ("upscale", {"compare_with": "bicubic-x3"}, "bicubic-x3 enlarges x3, not x4: compare models of one scale."),
        ("upscale", {"tile": "7"}, "Tiles of 7 pixels are too small for own-tiny: use 8 or more."),
        ("upscale", {"tile": "huge"}, 'The tile size must be "auto", "whole" or a number of pixels, not "huge".'),
        ("upscale", {"tile": "-16"}, "The tile size must be"),
        ("upscale", {"output_format": "BMP"}, "There is no format BMP: choose one of PNG, JPEG, WebP, TIFF."),
        ("upscale", {"output_format": "JPEG", "quality": 0}, "Value 0 is less than minimum value 1."),
        ("upscale", {"memory": 0}, "The memory must be 1 to 2048 MiB, not 0."),
        ("upscale", {"memory": 2049}, "2049"),
        ("upscale", {"device": "meta"}, "There is no device meta: choose one of cpu"),
        ("upscale", {"half": True}, "own-tiny is not known to be safe in half precision: use full precision."),
        ("upscale", {"size": "depth"}, "There is no size depth: choose one of model, scale, width, height, max_side."),
        ("upscale", {"size": "scale", "amount": 0}, "scale must be more than 0"),
        ("upscale", {"size": "width", "amount": 10.5}, "The width must be a whole number of pixels, not 10.5."),
        ("upscale", {"size": "scale", "amount": 1e300}, "scale must be more than 0 and at most"),
        ("upscale_many", {"model": "own-huge"}, "There is no model own-huge: choose one of"),
        ("upscale_many", {"output_format": "BMP"}, "There is no format BMP: choose one of PNG, JPEG, WebP, TIFF."),
        ("compare", {"names": ["bicubic-x4", "bicubic-x3"]}, "bicubic-x3 enlarges x3 and bicubic-x4 x4: compare"),
        ("compare", {"names": [*"abcde"]}, "Choose 1 to 4 different models, not a, b, c, d, e."),
        ("compare", {"names": ["own-tiny"] * 2}, "Choose 1 to 4 different models, not own-tiny, own-tiny."),
        ("compare", {"names": []}, "Choose 1 to 4 different models, not none."),
        ("compare", {"way": "hr"}, "There is no HR image yet"),
        (
            "lam",
            {"x": 144},
            "A window of 16 pixels at (144, 28) does not lie in the 160 x 96 image with 1 pixel to spare",
        ),
        ("lam", {"x": None}, "x must be a valid integer, not nothing."),
        ("lam", {"window": 0}, "A window of 0 pixels"),
        ("lam", {"window": 129}, "A window of 129 pixels is too large: use one of up to 128."),
        ("lam", {"steps": 201}, "The number of steps must be 1 to 200, not 201."),
        ("lam", {"models": ["bicubic-x3"]}, "bicubic-x3 enlarges x3, not x4: compare models of one scale."),
        ("lam", {"way": "hr"}, "is not in the list of choices: ['shrink', 'enlarge']"),
        ("failures", {"against": []}, "Choose 1 to 3 different models, not none."),
        ("failures", {"against": ["own-tiny"]}, "Two models are called own-tiny"),
        ("failures", {"window": 10}, "A window of 10 pixels is too small"),
        ("failures", {"cases": 0}, "The number of cases must be 1 or more"),
        ("attention", {"x": 40}, "40"),
        ("attention_figure", {"y": -1}, "-1"),
        ("anchors", {"model": "../own"}, "There is no model"),
        ("anchors", {"per_category": 1}, "Take 2 to 500 images per category, not 1."),
        ("anchors", {"per_category": 10**6}, "Take 2 to 500 images per category"),
        ("anchors", {"seed": -1}, "The seed must be 0 or more"),
        ("anchors", {"block": 3}, "own-tiny has 2 blocks in a residual group: choose a block from 1 to 2, not 3."),
        ("architecture", {"model": "bicubic-x4"}, "bicubic-x4 is no PromptSR network"),
        ("architecture", {"group": 5}, "There is no block 1 in group 5: this network has 4 groups of 2 blocks."),
        ("architecture", {"block": 0}, "There is no block 0 in group 2"),
        ("architecture", {"box": "cellar"}, "This network has no box cellar: choose one of encoder, anchors,"),
        ("architecture", {"x": 40}, "lies outside of the 40 x 24 image"),
    ],
)
def test_impossible_settings_are_refused(
    client: Client, plain_photo: Path, name: str, changed: dict[str, Any], message: str
) -> None:
    sent: Any = {"failures": [plain_photo], "upscale_many": [plain_photo], "anchors": None}.get(name, plain_photo)
    if name == "lam":
        changed = {"way": "enlarge", **changed}
    with pytest.raises(AppError, match=re.escape(message)):
        ask(client, name, sent, **changed)


def test_unusable_files_are_refused(client: Client, deep_photo: Path, plain_photo: Path, tmp_path: Path) -> None:
    text, cut, tiny = (tmp_path / f"{name}.png" for name in ("notes", "cut", "tiny"))
    text.write_text("No image at all.")
    cut.write_bytes(deep_photo.read_bytes()[:-400])
    Image.new("L", (40, 3)).save(tiny)
    twin = tmp_path / plain_photo.name
    twin.write_bytes(plain_photo.read_bytes())
    questions: list[tuple[str, Any, dict[str, Any], str]] = [
        ("upscale", text, {}, "notes.png is not an image we read"),
        ("upscale", cut, {}, "cut.png is damaged or incomplete"),
        ("upscale", None, {}, "There is no photograph yet"),
        ("compare", tiny, {}, "tiny.png is smaller than 4 pixels"),
        (
            "compare",
            plain_photo,
            {"way": "hr", "hr_image": handle_file(plain_photo)},
            "The HR image has 40 x 24 pixels",
        ),
        ("failures", [plain_photo, text], {}, "notes.png is not an image we read"),
        ("failures", [plain_photo, twin], {}, "Two photographs have the same name"),
        ("failures", [plain_photo], {"window": 32}, "plain.png (40 x 24) is smaller than a window"),
    ]
    for name, sent, changed, message in questions:
        with pytest.raises(AppError, match=re.escape(message)):
            ask(client, name, sent, **changed)


def test_results_are_refused_before_there_are_any(server: Server) -> None:
    with session(server) as fresh:
        for name, values, message in (
            ("magnify", (5, 5, 6), "nothing to magnify yet"),
            ("compare_at", (0, 0, 8), "nothing to show yet"),
            ("lam_overlay", (0.9, 0.05), "There is no map yet"),
            ("lam_figure", (), "There is no map yet"),
            ("lam_check", (), "There is no map yet"),
            ("failures_case", (1,), "There is no case: choose photographs"),
            ("anchors_point", (3, 0), "Nothing has been studied yet"),
        ):
            with pytest.raises(AppError, match=message):
                fresh.predict(*values, api_name=f"/{name}")


def test_magnifier_shows_the_same_square_of_all_three(client: Client, deep_photo: Path) -> None:
    (left, right), *_ = ask(client, "upscale", deep_photo)
    source = decode(deep_photo)
    assert source.alpha is not None
    whole = rounded(np.dstack([source.color, source.alpha])), pixels(left), pixels(right)
    for x, y, zoom in ((100, 60, 6), (0, 0, 8), (207, 143, 24)):
        shown = list(map(pixels, client.predict(x, y, zoom, api_name="/magnify")))
        assert shown[0].shape == shown[1].shape == shown[2].shape
        assert 0.8 * 384 < shown[0].shape[0] == shown[0].shape[1] <= 384
        places = []
        for values, magnified, factor in zip(whole, shown, (4 * zoom, zoom, zoom), strict=True):
            square = magnified[::factor, ::factor]
            np.testing.assert_array_equal(magnified, square.repeat(factor, 0).repeat(factor, 1))
            places.append({(row * factor, column * factor) for row, column in _places(values, square)})
        [(row, column)] = set.intersection(*places)  # the corner, in pixels of the screen
        assert row <= y * zoom < row + 384 and column <= x * zoom < column + 384


def _places(whole: np.ndarray, part: np.ndarray) -> list[tuple[int, int]]:
    """Where `part` lies in `whole`, as row and column."""
    views = np.lib.stride_tricks.sliding_window_view(whole, part.shape)[..., 0, :, :, :]
    return [(int(row), int(column)) for row, column in np.argwhere((views == part).all(axis=(2, 3, 4)))]


def test_magnifier_refuses_what_is_not_there(client: Client, plain_photo: Path) -> None:
    ask(client, "upscale", plain_photo)
    for x, zoom, message in ((160, 6, r"\(160, 5\) lies outside of the 160 x 96 result"), (5, 0, "less than minimum")):
        with pytest.raises(AppError, match=message):
            client.predict(x, 5, zoom, api_name="/magnify")


def test_architecture_describes_a_box(client: Client, plain_photo: Path) -> None:
    text, views = ask(client, "architecture", plain_photo, box="coarse_map")
    # 24 x 40 pixels make 3 x 5 anchors of 8 x 8.
    assert "## Coarse similarity map" in text and r"$$M_{coarse} = A K^T / \sqrt{C}$$" in text
    assert "1 × 15 × 32" in text and "1 × 15 × 960" in text and "Untrained" not in text
    assert len(views) == 2
    for view in views:
        assert view["caption"]
        with Image.open(view["image"]) as drawn:
            assert drawn.width > 300 and len(drawn.convert("RGB").getcolors(2**24) or []) > 20
    untrained = next(model.name for model in list_models() if not model.has_weights)
    assert "Untrained" in ask(client, "architecture", plain_photo, model=untrained, group=1)[0]


def test_only_these_endpoints_are_shown(client: Client) -> None:
    api = client.view_api(return_format="dict")
    assert isinstance(api, dict)
    assert {name.removeprefix("/") for name in api["named_endpoints"]} == {
        *("upscale", "upscale_many", "magnify", "architecture"),
        *("compare", "compare_pair", "compare_differences", "compare_at", "compare_figure", "compare_export"),
        *("lam", "lam_overlay", "lam_figure", "lam_check", "failures", "failures_case"),
        *("attention", "attention_figure", "attention_depth", "categories"),
        *("anchors", "anchors_plane", "anchors_point"),
        *("models", "add_models"),
        *("enlarge", "score", "explain"),
    }
    names = [p["parameter_name"] for p in api["named_endpoints"]["/upscale"]["parameters"]]
    assert names == ["image", *QUESTIONS["upscale"]]
    names = [p["parameter_name"] for p in api["named_endpoints"]["/upscale_many"]["parameters"]]
    assert names == ["images", *QUESTIONS["upscale_many"]]
