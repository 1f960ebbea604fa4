"""Attention maps against the paper's equations in float64, brute force and the raw weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

import analysis.attention.maps as attention_maps
from analysis.attention.maps import LAYERS, AttentionMaps, Layer, look, maps_bytes
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.model.taps import MapTap, record
from promptsr.support.errors import UserError
from tests.analysis.attention.conftest import HEIGHT, WIDTH, WINDOWS_ONLY, hooks, on_image, uneven
from tests.model.test_equations import softmax

PIXELS = [(0, 0), (13, 9), (29, 19), (3, 19), (29, 2), (16, 12)]


@pytest.fixture(scope="module")
def maps(network: PromptSR, image: Tensor) -> AttentionMaps:
    return look(network, image, group=1, block=1)


@pytest.mark.parametrize("pixel", PIXELS)
def test_weights_are_those_of_the_equations(
    maps: AttentionMaps, equations: dict[str, np.ndarray], pixel: tuple[int, int]
) -> None:
    coarse, fine = (softmax(equations[f"{kind}_map"]) for kind in LAYERS)  # 48 x 768, 768 x 48
    x, y = pixel
    row = fine[y * 32 + x]
    assert row.max() > 1.5 / 48  # not even
    found = maps.fine(x, y)
    np.testing.assert_allclose(found.values, row.reshape(6, 8)[:5], atol=1e-5)
    assert found.stride == 4 and found.padding_share == pytest.approx(row[40:].sum(), abs=1e-5)
    own = y // 4 * 8 + x // 4
    np.testing.assert_allclose(maps.reading(own).values, on_image(coarse[own]), atol=1e-5)
    composed = maps.composed(x, y)
    np.testing.assert_allclose(composed.values, on_image(row @ coarse), atol=1e-6)
    lost = 1 - on_image(row @ coarse).sum()
    assert lost > 0.02 and composed.padding_share == pytest.approx(lost, abs=1e-5)
    top = maps.top_anchors(x, y, 4)
    assert [anchor.index for anchor in top] == np.argsort(-row[:40])[:4].tolist()
    for anchor in top:
        assert (anchor.x, anchor.y) == (anchor.index % 8 * 4, anchor.index // 8 * 4)
        assert anchor.weight == pytest.approx(row[anchor.index], abs=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("pixel", PIXELS)
def test_windows_are_rows_of_the_raw_weights(maps: AttentionMaps, layer: Layer, pixel: tuple[int, int]) -> None:
    raw = maps.taps[f"{layer}_prompting.window_attention.weights"][0]  # windows x heads x ws^2 x ws^2
    found = maps.windows(*pixel, layer)
    shift = 4 if layer == "fine" else 0
    place = ((pixel[1] - shift) % 24, (pixel[0] - shift) % 32)
    own, token = place[0] // 8 * 4 + place[1] // 8, place[0] % 8 * 8 + place[1] % 8
    expected = np.zeros((2, 24, 32))
    for other in range(64):
        y, x = own // 4 * 8 + other // 8, own % 4 * 8 + other % 8
        expected[:, (y + shift) % 24, (x + shift) % 32] = raw[own, :, token, other]
    expected[expected < 1e-30] = 0  # what the mask leaves is nothing
    np.testing.assert_array_equal(found.values, expected[:, :HEIGHT, :WIDTH].astype(np.float32))
    np.testing.assert_allclose(expected.sum((1, 2)), 1, atol=1e-5)
    assert found.padding_share == pytest.approx(1 - found.values.sum() / 2, abs=1e-5)
    if (layer, pixel) == ("fine", (0, 0)):  # the far side of the wrapped window is masked
        assert found.values[:, 4:].max() == 0 and found.values[:, :4, :4].sum() == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("pixel", PIXELS)
def test_groups_are_those_of_category_attention(
    network: PromptSR, image: Tensor, maps: AttentionMaps, layer: Layer, pixel: tuple[int, int]
) -> None:
    path = f"groups.1.blocks.1.global_prompting.{layer}_map"
    with record(network, [path]) as seen:
        network(image)
    labels = seen[path][0].argmax(0 if layer == "coarse" else 1).tolist()
    token = pixel[1] * 32 + pixel[0]
    assert len(set(labels)) > 3
    np.testing.assert_array_equal(maps.category(*pixel, layer), on_image([label == labels[token] for label in labels]))
    order = sorted(range(768), key=lambda each: (labels[each], each))
    first = order.index(token) // 100 * 100
    own = set(order[first : first + 100] if first < 700 else order[668:])
    np.testing.assert_array_equal(maps.members(*pixel, layer), on_image([each in own for each in range(768)]))
    assert maps.members(*pixel, layer)[pixel[1], pixel[0]]


def test_only_the_maps_of_the_block_are_kept(network: PromptSR, image: Tensor, maps: AttentionMaps) -> None:
    kept = sum(value.untyped_storage().nbytes() for value in maps.taps.values())
    assert kept == maps_bytes(network.config, HEIGHT, WIDTH)
    anchors = [name for name in maps.taps if name.startswith("global_prompting")]
    assert len(maps.taps) == 6 and len(anchors) == 4
    plain = uneven(**WINDOWS_ONLY)
    windows = look(plain, image, group=0, block=1).taps
    assert sum(value.nbytes for value in windows.values()) == maps_bytes(plain.config, HEIGHT, WIDTH) < kept


def test_other_blocks_stay_fused(network: PromptSR, image: Tensor) -> None:
    """Maps pass through their taps only where attention is explicit."""
    passed: set[str] = set()
    taps = {name: module for name, module in network.named_modules() if isinstance(module, MapTap)}
    handles = [
        tap.register_forward_hook(lambda _tap, _args, _out, name=name: passed.add(name)) for name, tap in taps.items()
    ]
    look(network, image, group=0, block=1)
    for handle in handles:
        handle.remove()
    maps = ("global_prompting.coarse_map", "global_prompting.fine_map")
    weights = ("coarse_prompting.window_attention.weights", "fine_prompting.window_attention.weights")
    assert passed == {f"groups.0.blocks.1.{part}" for part in maps + weights}
    assert len(taps) == 24 and not any(tap.explicit for tap in taps.values())


def test_hooks_are_gone_after_a_failure(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(network.groups[1]._modules, "convolution", None)  # attributes of instances would not return
    with pytest.raises(TypeError):
        look(network, image, group=1, block=1)
    assert hooks(network) == []
    assert not any(module.explicit for module in network.modules() if isinstance(module, MapTap))


def test_ablations_answer_what_they_can(image: Tensor) -> None:
    plain = look(uneven(**WINDOWS_ONLY), image, group=0, block=0)
    assert plain.windows(4, 5, "fine").values.sum() == pytest.approx(2, abs=1e-5)
    for ask in (plain.fine, plain.composed):
        with pytest.raises(UserError, match="without anchor prompting"):
            ask(4, 5)
    for layer in LAYERS:
        with pytest.raises(UserError, match=f"without {layer} prompting"):
            plain.members(4, 5, layer)
    anchored = look(uneven(coarse_prompting=False, fine_prompting="off"), image, group=0, block=0)
    assert anchored.composed(4, 5).values.size == HEIGHT * WIDTH
    with pytest.raises(UserError, match="without fine prompting"):
        anchored.category(4, 5, "fine")
    again = look(uneven(fine_prompting="coarse"), image, group=0, block=0)
    np.testing.assert_array_equal(again.members(4, 5, "fine"), again.members(4, 5, "coarse"))


def test_bad_questions(network: PromptSR, image: Tensor, maps: AttentionMaps) -> None:
    for group, block in ((2, 0), (0, 2), (-1, 0)):
        with pytest.raises(UserError, match=f"no block {block + 1} in group {group + 1}"):
            look(network, image, group=group, block=block)
    with pytest.raises(UserError, match="from 0 to 47"):
        maps.reading(48)
    for question in (maps.fine, maps.composed):
        with pytest.raises(UserError, match="outside of the 30 x 20 image"):
            question(30, 0)  # on the padding
    for local in (maps.windows, maps.category, maps.members):
        with pytest.raises(UserError, match="outside of the 30 x 20 image"):
            local(0, 20, "fine")


def test_large_images_are_refused_before_any_work(network: PromptSR, monkeypatch: pytest.MonkeyPatch) -> None:
    config = network.config
    monkeypatch.setattr(network, "forward", lambda image: pytest.fail("the network ran"))
    budget = maps_bytes(config, 48, 48)
    monkeypatch.setattr(attention_maps, "MEMORY_BUDGET", budget)
    need = maps_bytes(config, 64, 33)
    with pytest.raises(UserError, match=f"33 x 64 pixels would take {need:,} bytes") as refusal:
        look(network, torch.zeros(1, 3, 64, 33), group=0, block=0)
    assert f"{budget:,}: crop the image to 48 x 48 pixels" in str(refusal.value)
    monkeypatch.setattr(attention_maps, "MEMORY_BUDGET", 10)
    with pytest.raises(UserError, match="smaller windows"):
        look(network, torch.zeros(1, 3, 8, 8), group=0, block=0)


def test_bytes_of_the_paper_network_by_hand() -> None:
    tokens, anchors = 1280 * 720 // 16, 1280 * 720 // 16 // 64  # 320 x 180 pixels, padded to 320 x 192
    tokens, anchors = tokens * 192 // 180, anchors * 192 // 180
    expected = 2 * 4 * tokens * anchors + 2 * 8 * tokens + 2 * 4 * 4 * tokens * 256
    assert maps_bytes(preset("promptsr"), 180, 320) == expected
