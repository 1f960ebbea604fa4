"""The walk through the network, against the paper's equations written out from the layers' weights."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from torch import Tensor

from analysis.attention.maps import LAYERS, Layer, look
from analysis.tour.boxes import NOTEBOOK, boxes
from analysis.tour.views import View, as_colors
from analysis.tour.walk import Tour, shrink, walk
from promptsr.complexity.counting import count
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from tests.analysis.attention.conftest import HEIGHT, WIDTH, WINDOWS_ONLY, hooks, noise, on_image, uneven

FOCUS = (13, 9)


@pytest.fixture(scope="module")
def tour(network: PromptSR, image: Tensor) -> Tour:
    return walk(network, image, group=1, block=1, focus=FOCUS)


def view(tour: Tour, box: str, kind: str) -> View:
    [found] = [each for each in tour.stops[box].views if each.kind == kind]
    return found


def test_every_box_is_visited_in_order(tour: Tour) -> None:
    assert [(key, stop.input_shape, stop.output_shape) for key, stop in tour.stops.items()] == [
        ("encoder", (1, 3, 24, 32), (1, 8, 24, 32)),
        ("anchors", (1, 24, 32, 8), (1, 48, 8)),
        ("coarse_map", (1, 48, 8), (1, 48, 768)),
        ("anchor_prompts", (1, 48, 768), (1, 48, 8)),
        ("fine_map", (1, 24, 32, 8), (1, 768, 48)),
        ("prompted", (1, 768, 48), (1, 24, 32, 8)),
        ("coarse", (1, 24, 32, 8), (1, 24, 32, 8)),
        ("fine", (1, 24, 32, 8), (1, 24, 32, 8)),
        ("convolution", (1, 8, 24, 32), (1, 8, 24, 32)),
        ("fusion", (1, 8, 24, 32), (1, 8, 24, 32)),
        ("decoder", (1, 8, 24, 32), (1, 3, 40, 60)),
    ]


def test_costs_of_all_boxes_are_those_of_the_network(network: PromptSR, image: Tensor) -> None:
    costs = {
        stop.cost.name: stop.cost
        for group in range(2)
        for block in range(2)
        for stop in walk(network, image, group=group, block=block).stops.values()
    }
    assert sum(cost.parameters for cost in costs.values()) == sum(p.numel() for p in network.parameters())
    assert sum(cost.multiply_adds for cost in costs.values()) == count(network, HEIGHT, WIDTH).multiply_adds


def test_similarities_are_the_rows_of_the_anchor_and_of_the_pixel(tour: Tour, equations: dict[str, np.ndarray]) -> None:
    row = equations["coarse_map"][9 // 4 * 8 + 13 // 4]
    np.testing.assert_allclose(view(tour, "coarse_map", "similarity").values, on_image(row), atol=1e-4)
    np.testing.assert_allclose(view(tour, "coarse_map", "share").values, on_image(softmax(row)) * 768, rtol=1e-3)
    row = equations["fine_map"][9 * 32 + 13]
    similarity, shares = view(tour, "fine_map", "similarity"), view(tour, "fine_map", "share")
    np.testing.assert_allclose(similarity.values, row.reshape(6, 8)[:5], atol=1e-4)  # 20 pixels have 5 rows of 4
    np.testing.assert_allclose(shares.values, softmax(row).reshape(6, 8)[:5] * 48, rtol=1e-3)
    assert similarity.pitch == shares.pitch == 4


def test_categories_are_the_best_anchors(tour: Tour, equations: dict[str, np.ndarray]) -> None:
    for box in ("coarse", "fine"):
        shown, best = view(tour, box, "categories"), equations[f"{box}_category"]
        np.testing.assert_array_equal(shown.values, on_image(best))
        assert len(np.unique(best)) > 3 and f"{len(np.unique(best))} of 48" in shown.title


@pytest.mark.parametrize("layer", LAYERS)
def test_windows_are_those_of_the_maps(network: PromptSR, image: Tensor, tour: Tour, layer: Layer) -> None:
    shown = view(tour, layer, "share")
    weights = look(network, image, group=1, block=1).windows(*FOCUS, layer).values  # heads x H x W
    np.testing.assert_allclose(shown.values, weights.mean(0) * 64, rtol=1e-5)
    assert shown.values.sum() == pytest.approx(64, rel=1e-4)
    assert (shown.window, shown.shift) == (8, 4 if layer == "fine" else 0)


def test_decoder_shows_the_result(network: PromptSR, image: Tensor, tour: Tour) -> None:
    output = network(image)
    *_, added, result = tour.stops["decoder"].views
    np.testing.assert_allclose(result.values, output[0].clamp(0, 1).permute(1, 2, 0), atol=1e-4)
    np.testing.assert_allclose(added.values, (output - upscale(image, 2))[0].mean(0), atol=1e-4)
    assert added.pitch == result.pitch == 0.5


ABLATIONS: dict[str, dict[str, Any]] = {
    "windows": WINDOWS_ONLY,
    "anchor": {"coarse_prompting": False, "fine_prompting": "off"},
    "coarse twice": {"fine_prompting": "coarse"},
    "bicubic skip": {"bicubic_skip": True, "scale": 3},
    "other grids": {"window_size": 6, "anchor_stride": 4},
    "as many channels as pixels": {"channels": 24},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_network_can_be_walked(image: Tensor, name: str) -> None:
    network = uneven(**ABLATIONS[name])
    tour = walk(network, image, group=1, focus=(WIDTH - 1, 0))
    assert list(tour.stops) == [box.key for box in boxes(network.config)]
    categories = [key for key, stop in tour.stops.items() if any(v.kind == "categories" for v in stop.views)]
    assert categories == {"windows": [], "anchor": []}.get(name, ["coarse", "fine"])
    for stop in tour.stops.values():
        for shown in stop.views:
            assert shown.values.shape[:2] == (math.ceil(HEIGHT / shown.pitch), math.ceil(WIDTH / shown.pitch))
            assert np.isfinite(shown.values).all()
            if shown.kind == "colors":
                assert shown.values.shape[2] == 3 and 0 <= shown.values.min() <= shown.values.max() <= 1


def test_features_keep_their_place() -> None:
    """With as many channels as pixels along a side, where a wrong order of dimensions would go unnoticed."""
    network, before = uneven(channels=24, groups=1, blocks_per_group=1), noise(24, 24, seed=7)
    after = before.clone()
    after[..., 20:, 2] = 1 - after[..., 20:, 2]  # what a 3 x 3 convolution sees of it: from row 19 on, columns 1 to 3
    colors = [walk(network, image).stops["encoder"].views[1].values for image in (before, after)]
    changed = np.abs(colors[1] - colors[0]).mean(2)
    assert changed[19:, 1:4].mean() > 5 * changed[:18, 5:].mean() > 0


def test_what_is_not_there_is_refused(network: PromptSR, image: Tensor) -> None:
    with pytest.raises(UserError, match="no block 1 in group 3"):
        walk(network, image, group=2)
    with pytest.raises(UserError, match="outside of the 30 x 20 image"):
        walk(network, image, focus=(WIDTH, 0))


def test_nothing_is_left_behind(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    before = network(image)
    walk(network, image)
    with monkeypatch.context() as patch:
        patch.setattr(network.decoder, "forward", lambda _x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            walk(network, image)
    assert hooks(network) == [] and not any(getattr(m, "explicit", False) for m in network.modules())
    assert torch.equal(network(image), before)


@given(st.integers(1, 300), st.integers(1, 300))
def test_shrinking_keeps_the_shape_of_the_image(height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width)
    small = shrink(image, 128)
    if max(height, width) <= 128:
        torch.testing.assert_close(small, image, atol=1e-5, rtol=0)
    else:
        factor = 128 / max(height, width)
        expected = [max(1, height * factor), max(1, width * factor)]
        assert max(small.shape[2:]) == 128 and 0 <= small.min() <= small.max() <= 1
        np.testing.assert_allclose(small.shape[2:], expected, atol=0.5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))
def test_colours_of_any_features_are_colours(height: int, width: int, channels: int) -> None:
    features = np.random.default_rng(height + 10 * width).normal(size=(height, width, channels)).astype(np.float32)
    [colors] = as_colors(features)
    assert colors.shape == (height, width, 3) and 0 <= colors.min() <= colors.max() <= 1
    assert (colors[..., channels:] == 0.5).all()


def test_colours_follow_what_varies() -> None:
    ramp = np.linspace(-1, 1, 60)
    direction = np.array([0.5, -0.1, 0.8, 0.2])
    one, other = (5 * ramp[None, :, None] * direction + constant for constant in (0.0, 7.0))
    first, second = as_colors(one, -other)
    np.testing.assert_allclose(first[0, :, 0], np.interp(ramp, np.percentile(ramp, [3, 97]), [0, 1]), atol=1e-6)
    np.testing.assert_allclose(second, first[:, ::-1], atol=1e-6)  # one common axis, each map's own mean
    np.testing.assert_allclose(first[..., 1:], 0.5)


def test_the_notebook_shows_every_box_below_its_section(network: PromptSR) -> None:
    path = Path(__file__).resolve().parents[3] / NOTEBOOK
    sections: dict[str, str] = {}
    heading = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for line in cell["source"]:
            heading = line.removeprefix("## ").strip() if line.startswith("## ") else heading
        shown = ["".join(output.get("data", {}).get("text/markdown", "")) for output in cell.get("outputs", [])]
        sections |= {found: heading for text in shown for found in re.findall(r"^\*\*(.+?)\*\*", text)}
    assert sections == {box.title: box.section for box in boxes(network.config)}
    assert all(box.section in sections.values() for box in boxes(uneven(**WINDOWS_ONLY).config))
