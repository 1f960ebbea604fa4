"""The walk through the network, against the paper's equations written out from the layers' weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from analysis.tour.boxes import boxes
from analysis.tour.views import View, as_colors
from analysis.tour.walk import Tour, shrink, walk
from promptsr.complexity.counting import count
from promptsr.config import ModelConfig
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError

CONFIG = ModelConfig(
    scale=2, channels=8, groups=2, blocks_per_group=2, anchor_stride=4, window_size=8, category_size=16, heads=2
)
HEIGHT, WIDTH = 20, 30  # padded to 24 x 32
FOCUS = (13, 9)
PATH = "groups.1.blocks.1."


def network_of(config: ModelConfig) -> PromptSR:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = PromptSR(config).eval().requires_grad_(False)
        for parameter in network.parameters():  # so that nothing is nearly even
            torch.nn.init.normal_(parameter, std=0.25)
    return network


@pytest.fixture(scope="module")
def network() -> PromptSR:
    return network_of(CONFIG)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def tour(network: PromptSR, image: Tensor) -> Tour:
    return walk(network, image, group=1, block=1, focus=FOCUS)


@contextmanager
def inputs_of(network: PromptSR, name: str) -> Iterator[list[Any]]:
    """What a module is given, and behind it what it returns."""
    seen: list[Any] = []
    handle = network.get_submodule(name).register_forward_hook(lambda _m, args, out: seen.extend([*args, out]))
    yield seen
    handle.remove()


@pytest.fixture(scope="module")
def gapl(network: PromptSR, image: Tensor) -> dict[str, Tensor]:
    """Eq. 6 to 10 of the last block, from what enters its GAPL."""
    layer: Any = network.get_submodule(PATH + "global_prompting")
    with inputs_of(network, PATH + "global_prompting") as seen:
        network(image)
    x, previous = seen[0], seen[1]
    tokens = x.reshape(24 * 32, 8)
    anchors = layer.anchor(layer.downscale(x.permute(0, 3, 1, 2))[0].permute(1, 2, 0).reshape(6 * 8, 8))
    coarse = anchors @ layer.key(tokens).T / math.sqrt(8)
    prompts = 0.01 * previous[0] + 0.99 * coarse.softmax(1) @ layer.value(tokens)
    grid = prompts.T.reshape(1, 8, 6, 8)
    keys = layer.prompt_key(grid)[0].flatten(1).T
    fine = layer.query(tokens) @ (keys + anchors).T / math.sqrt(8)
    return {"x": x, "anchors": anchors, "coarse": coarse, "prompts": prompts, "fine": fine}


def on_image(values: Tensor) -> np.ndarray:
    return values.reshape(24, 32)[:HEIGHT, :WIDTH].numpy()


def view(tour: Tour, box: str, kind: str) -> View:
    [found] = [each for each in tour.stops[box].views if each.kind == kind]
    return found


def test_every_box_is_visited_in_order(tour: Tour) -> None:
    assert list(tour.stops) == [box.key for box in boxes(CONFIG)]
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


def test_coarse_map_is_the_row_of_the_anchor_at_the_pixel(tour: Tour, gapl: dict[str, Tensor]) -> None:
    row = gapl["coarse"][9 // 4 * 8 + 13 // 4]
    np.testing.assert_allclose(view(tour, "coarse_map", "similarity").values, on_image(row), atol=1e-4)
    shares = view(tour, "coarse_map", "share").values
    np.testing.assert_allclose(shares, on_image(row.softmax(0)) * 768, rtol=1e-3)


def test_fine_map_is_the_row_of_the_pixel(tour: Tour, gapl: dict[str, Tensor]) -> None:
    row = gapl["fine"][9 * 32 + 13]
    similarity, shares = view(tour, "fine_map", "similarity"), view(tour, "fine_map", "share")
    np.testing.assert_allclose(similarity.values, row.reshape(6, 8)[:5], atol=1e-4)  # 20 pixels have 5 rows of 4
    np.testing.assert_allclose(shares.values, row.softmax(0).reshape(6, 8)[:5] * 48, rtol=1e-3)
    assert similarity.pitch == shares.pitch == 4


def test_categories_are_the_best_anchors(tour: Tour, gapl: dict[str, Tensor]) -> None:
    for box, best in (("coarse", gapl["coarse"].argmax(0)), ("fine", gapl["fine"].argmax(1))):
        shown = view(tour, box, "categories")
        np.testing.assert_array_equal(shown.values, on_image(best))
        assert len(best.unique()) > 3 and f"{len(best.unique())} of 48" in shown.title


@pytest.mark.parametrize(("box", "layer", "corner"), [("coarse", "coarse_prompting", 8), ("fine", "fine_prompting", 4)])
def test_window_attention_stays_in_the_window_of_the_pixel(
    network: PromptSR, image: Tensor, tour: Tour, box: str, layer: str, corner: int
) -> None:
    module: Any = network.get_submodule(PATH + layer)
    with inputs_of(network, PATH + layer) as seen:
        network(image)
    # Windows of 8 that begin at 8, or moved by 4 at 4 and 12: the pixel (13, 9) lies in the one from (8, 8) or (12, 4).
    left, top = (8, 8) if corner == 8 else (12, 4)
    qkv = module.qkv(module.norm_attention(seen[0]))[0, top : top + 8, left : left + 8].reshape(64, 3, 2, 4)
    y, x = (9 - top), (13 - left)
    expected = torch.zeros(8, 8)
    for head in range(2):
        logits = torch.empty(64)
        for token in range(64):
            offset = (y - token // 8 + 7) * 15 + (x - token % 8 + 7)
            product = qkv[y * 8 + x, 0, head] @ qkv[token, 1, head] / 2  # square root of 4 channels in a head
            logits[token] = product + module.window_attention.position_bias[offset, head]
        expected += logits.softmax(0).reshape(8, 8) * 64 / 2
    shown = view(tour, box, "share")
    np.testing.assert_allclose(shown.values[top : top + 8, left : left + 8], expected, rtol=1e-3)
    assert shown.values.sum() == pytest.approx(64, rel=1e-4)
    assert (shown.window, shown.shift) == (8, 8 - corner)


def test_shifted_window_wraps_around_the_padded_image(network: PromptSR, image: Tensor) -> None:
    shares = view(walk(network, image[..., :24, :24], focus=(1, 1)), "fine", "share").values
    # The mask lets no attention cross the border: what is left of the window of (1, 1) is 4 x 4 pixels.
    assert shares[:4, :4].sum() == pytest.approx(64, rel=1e-4)


def test_decoder_shows_the_result(network: PromptSR, image: Tensor, tour: Tour) -> None:
    output = network(image)
    *_, added, result = tour.stops["decoder"].views
    np.testing.assert_allclose(result.values, output[0].clamp(0, 1).permute(1, 2, 0), atol=1e-4)
    np.testing.assert_allclose(added.values, (output - upscale(image, 2))[0].mean(0), atol=1e-4)
    assert added.pitch == result.pitch == 0.5


ABLATIONS: dict[str, dict[str, Any]] = {
    "windows": {"anchor_prompting": False, "coarse_prompting": False, "fine_prompting": "off"},
    "anchor": {"coarse_prompting": False, "fine_prompting": "off"},
    "coarse twice": {"fine_prompting": "coarse"},
    "bicubic skip": {"bicubic_skip": True, "scale": 3},
    "other grids": {"window_size": 6, "anchor_stride": 4},
    "as many channels as pixels": {"channels": 24},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_network_can_be_walked(image: Tensor, name: str) -> None:
    config = replace(CONFIG, **ABLATIONS[name])
    tour = walk(network_of(config), image, group=1, focus=(WIDTH - 1, 0))
    assert list(tour.stops) == [box.key for box in boxes(config)]
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
    network = network_of(replace(CONFIG, channels=24, groups=1, blocks_per_group=1))
    before = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(7))
    after = before.clone()
    after[..., 20:, 2] = 1 - after[..., 20:, 2]  # what a 3 x 3 convolution sees of it: from row 19 on, columns 1 to 3
    colors = [walk(network, image).stops["encoder"].views[1].values for image in (before, after)]
    changed = np.abs(colors[1] - colors[0]).mean(2)
    assert changed[19:, 1:4].mean() > 5 * changed[:18, 5:].mean() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": 2}, "no block 1 in group 3"),
        ({"block": -1}, "no block 0 in group 1"),
        ({"focus": (WIDTH, 0)}, "outside of the 30 x 20 image"),
        ({"focus": (0, -1)}, "outside of the 30 x 20 image"),
    ],
)
def test_what_is_not_there_is_refused(network: PromptSR, image: Tensor, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        walk(network, image, **options)


def test_nothing_is_left_behind(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def clean() -> bool:
        return not any(m._forward_hooks or getattr(m, "explicit", False) for m in network.modules())

    before = network(image)
    walk(network, image)
    assert clean()
    with monkeypatch.context() as patch:
        patch.setattr(network.decoder, "forward", lambda _x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            walk(network, image)
    assert clean()
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
