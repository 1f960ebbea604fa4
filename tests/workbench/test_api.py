"""The workbench without a browser: what its endpoints return, and what they refuse."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from promptsr import Upscaler, load_model
from promptsr.imaging import decode
from tests.workbench.conftest import pixels

if TYPE_CHECKING:
    from tests.workbench.conftest import Server


def upscale(client: Client, image: Path | None, **changed: str) -> tuple[Any, ...]:
    arguments = {"model": "own-tiny", "compare_with": "bicubic", "tile": "16", "output_format": "PNG", **changed}
    sent = None if image is None else handle_file(image)
    result: tuple[Any, ...] = client.predict(sent, *arguments.values(), api_name="/upscale")
    return result


def rounded(deep: np.ndarray) -> np.ndarray:
    """16 bits to 8."""
    return np.floor(deep / 257 + 0.5).astype(np.uint8)


def test_download_is_what_the_command_line_writes(
    client: Client, server: Server, deep_photo: Path, tmp_path: Path
) -> None:
    _, _, file, news = upscale(client, deep_photo)
    assert Path(file).name == "deep-own-tiny.png"
    assert Path(file).read_bytes() == server.expected(deep_photo, tmp_path / "expected.png", tile=16)
    result = decode(Path(file))
    assert (result.width, result.height, result.bit_depth) == (208, 144, 16)
    assert result.alpha is not None and len(np.unique(result.alpha)) > 100
    assert result.metadata.icc == decode(deep_photo).metadata.icc is not None
    assert "52 × 36" in news and "208 × 144" in news and "16 pixels" in news


@pytest.mark.parametrize(("name", "suffix"), [("JPEG", ".jpg"), ("WebP", ".webp"), ("TIFF", ".tif")])
def test_download_comes_in_the_chosen_format(
    client: Client, server: Server, plain_photo: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    file = Path(upscale(client, plain_photo, output_format=name)[2])
    assert file.name == f"plain-own-tiny{suffix}"
    assert file.read_bytes() == server.expected(plain_photo, tmp_path / f"expected{suffix}", tile=16)


def test_slider_shows_both_results_at_8_bits(client: Client, deep_photo: Path, server: Server) -> None:
    (left, right), result, _, _ = upscale(client, deep_photo)
    source = decode(deep_photo)
    for path, model in ((left, load_model("bicubic-x4")), (right, load_model(server.weights))):
        expected = Upscaler(model, tile=16)(source).picture
        assert expected.alpha is not None
        np.testing.assert_array_equal(pixels(path), rounded(np.dstack([expected.color, expected.alpha])))
    np.testing.assert_array_equal(pixels(result), pixels(right))
    assert not np.array_equal(pixels(left), pixels(right))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "own-huge"}, "There is no model own-huge: choose one of"),
        ({"model": "../models/own-tiny"}, "There is no model"),
        ({"model": "promptsr-star-x2", "compare_with": "bicubic"}, "No weights come with promptsr-star-x2 yet"),
        ({"compare_with": "bicubic-x3"}, "compare models of one scale"),
        ({"tile": "7"}, "Tiles of 7 pixels are too small for own-tiny: use 8 or more."),
        ({"tile": "huge"}, 'The tile size must be "auto", "whole" or a number of pixels, not "huge".'),
        ({"tile": "-16"}, "The tile size must be"),
        ({"output_format": "BMP"}, "There is no format BMP: choose one of PNG, JPEG, WebP, TIFF."),
    ],
)
def test_impossible_settings_are_refused(
    client: Client, plain_photo: Path, changed: dict[str, str], message: str
) -> None:
    with pytest.raises(AppError) as refusal:
        upscale(client, plain_photo, **changed)
    assert message in str(refusal.value)


def test_unusable_files_are_refused(client: Client, deep_photo: Path, tmp_path: Path) -> None:
    text, cut, wide = tmp_path / "notes.png", tmp_path / "cut.png", tmp_path / "wide.png"
    text.write_text("No image at all.")
    cut.write_bytes(deep_photo.read_bytes()[:-400])
    Image.new("L", (2**12 + 1, 2**11)).save(wide)
    for path, message in (
        (text, "notes.png is not an image we read"),
        (cut, "cut.png is damaged or incomplete"),
        (wide, "wide.png has 4097 x 2048 pixels"),
        (None, "There is no photograph yet"),
    ):
        with pytest.raises(AppError) as refusal:
            upscale(client, path)
        assert message in str(refusal.value)


@pytest.mark.parametrize("path", ["/etc/passwd", "http://192.0.2.1/photo.png"])
def test_only_what_was_sent_is_read(server: Server, path: str) -> None:
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    request = urllib.request.Request(
        f"{server.url}/gradio_api/call/upscale",
        json.dumps({"data": [image, "own-tiny", "bicubic-x4", "16", "PNG"]}).encode(),
        {"Content-Type": "application/json"},
    )
    event = json.load(urllib.request.urlopen(request, timeout=30))["event_id"]
    answer = urllib.request.urlopen(f"{server.url}/gradio_api/call/upscale/{event}", timeout=30).read().decode()
    assert answer.startswith("event: error")
    assert "root:" not in answer and str(server.weights.parent) not in answer


def test_magnifier_shows_the_same_square_of_all_three(client: Client, deep_photo: Path) -> None:
    (left, right), *_ = upscale(client, deep_photo)
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


def test_magnifier_refuses_what_is_not_there(server: Server, client: Client, plain_photo: Path) -> None:
    with pytest.raises(AppError, match="nothing to magnify yet"):
        Client(server.url, verbose=False, analytics_enabled=False).predict(5, 5, 6, api_name="/magnify")
    upscale(client, plain_photo)
    with pytest.raises(AppError, match=r"\(160, 5\) lies outside of the 160 x 96 result"):
        client.predict(160, 5, 6, api_name="/magnify")
    with pytest.raises(AppError, match="less than minimum value 1"):
        client.predict(5, 5, 0, api_name="/magnify")


def test_architecture_describes_a_box(client: Client, plain_photo: Path) -> None:
    text, views = client.predict(
        handle_file(plain_photo), "own-tiny", 2, 1, "coarse_map", 9, 17, api_name="/architecture"
    )
    # 24 x 40 pixels make 3 x 5 anchors of 8 x 8.
    assert "## Coarse similarity map" in text and r"$$M_{coarse} = A K^T / \sqrt{C}$$" in text
    assert "1 × 15 × 32" in text and "1 × 15 × 960" in text and "Untrained" not in text
    assert len(views) == 2
    for view in views:
        assert view["caption"]
        with Image.open(view["image"]) as drawn:
            assert drawn.width > 300 and len(drawn.convert("RGB").getcolors(2**24) or []) > 20


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "bicubic-x4"}, "bicubic-x4 is no PromptSR network"),
        ({"group": 5}, "There is no block 1 in group 5: this network has 4 groups of 2 blocks."),
        ({"block": 0}, "There is no block 0 in group 2"),
        ({"box": "cellar"}, "This network has no box cellar: choose one of encoder, anchors,"),
        ({"x": 40}, "lies outside of the 40 x 24 image"),
        ({"y": -1}, "lies outside of the 40 x 24 image"),
    ],
)
def test_architecture_refuses_what_is_not_there(
    client: Client, plain_photo: Path, changed: dict[str, Any], message: str
) -> None:
    question = {"model": "own-tiny", "group": 2, "block": 1, "box": "encoder", "x": 9, "y": 17, **changed}
    with pytest.raises(AppError) as refusal:
        client.predict(handle_file(plain_photo), *question.values(), api_name="/architecture")
    assert message in str(refusal.value)


def test_only_these_endpoints_are_shown(client: Client) -> None:
    api = client.view_api(return_format="dict")
    assert isinstance(api, dict)
    compare = {"/compare", "/compare_pair", "/compare_differences", "/compare_at", "/compare_figure"}
    assert set(api["named_endpoints"]) == {
        "/upscale",
        "/magnify",
        "/architecture",
        *compare,
        "/lam",
        "/lam_overlay",
        "/lam_figure",
        "/failures",
        "/failures_case",
        *("/attention", "/attention_figure", "/attention_depth", "/categories"),
        *("/anchors", "/anchors_plane", "/anchors_point"),
        *("/enlarge", "/score", "/explain"),
    }
    names = [p["parameter_name"] for p in api["named_endpoints"]["/upscale"]["parameters"]]
    assert names == ["image", "model", "compare_with", "tile", "output_format"]
