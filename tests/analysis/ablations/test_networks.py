"""Ablations: what switching off takes away and what it leaves, and which trained networks make up a table."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor, nn

from analysis.ablations.networks import TABLE_IV, switched, switched_off_series, trained_ablations
from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, Result
from analysis.lam.attribution import Attribution, PathSettings
from analysis.lam.figure import draw_lam
from promptsr.config import ModelConfig, preset
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

SIDE = 32
CONFIG = ModelConfig(
    scale=2, channels=8, groups=1, blocks_per_group=1, heads=2, window_size=4, anchor_stride=4, category_size=16
)
ON = {"anchor": True, "coarse": True, "fine": True}
OFF = dict.fromkeys(ON, False)


@pytest.fixture
def network() -> PromptSR:
    torch.manual_seed(0)
    return PromptSR(CONFIG).eval().double()


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).double()


def reach(network: nn.Module, image: Tensor) -> np.ndarray:
    """The input pixels that have any gradient to the output pixels of input pixel (16, 16): SIDE x SIDE."""
    image = image.clone().requires_grad_()
    network(image)[..., 32:34, 32:34].sum().backward()
    assert image.grad is not None
    seen: np.ndarray = (image.grad[0].abs().sum(0) > 0).numpy()
    return seen


def test_without_promptings_nothing_beyond_the_windows_is_seen(network: PromptSR, image: Tensor) -> None:
    # From pixel 16 back: three 3 x 3 convolutions (13 to 19), shifted windows of 4, which begin at 2, 6, 10 ... (10 to
    # 21), windows that begin at 0, 4, 8 ... (8 to 23), and the encoder's convolution (7 to 24).
    expected = np.zeros((SIDE, SIDE), dtype=bool)
    expected[7:25, 7:25] = True
    plain = switched(network, **OFF)
    np.testing.assert_array_equal(reach(plain, image), expected)
    changed = torch.where(torch.from_numpy(expected), image, 1 - image)  # categories carry no gradient: try it as well
    assert torch.equal(plain(changed)[..., 32:34, 32:34], plain(image)[..., 32:34, 32:34])


def test_every_prompting_reaches_beyond_the_windows(network: PromptSR, image: Tensor) -> None:
    assert reach(switched(network, **OFF | {"anchor": True}), image).all()  # the anchors read the whole image
    for part in ("coarse", "fine"):
        seen = reach(switched(network, **OFF | {part: True}), image)
        seen[7:25, 7:25] = False
        assert seen.any(), part


@pytest.mark.parametrize("part", list(ON))
def test_what_is_switched_off_adds_zero_and_the_rest_stays(network: PromptSR, image: Tensor, part: str) -> None:
    layer = {
        "anchor": "global_prompting.projection",
        "coarse": "coarse_prompting.category_attention.projection",
        "fine": "fine_prompting.category_attention.projection",
    }[part]
    silenced = PromptSR(CONFIG).eval().double()
    state = network.state_dict()
    silenced.load_state_dict({key: value * (layer not in key) for key, value in state.items()})
    expected = silenced(image)
    torch.testing.assert_close(switched(network, **ON | {part: False})(image), expected, rtol=0, atol=1e-12)
    assert (expected - network(image)).abs().max() > 1e-6


def test_every_block_is_switched() -> None:
    torch.manual_seed(0)
    network = PromptSR(replace(CONFIG, groups=2, blocks_per_group=2))
    left = dict(switched(network, **OFF).named_parameters())
    gone = {name.partition("_prompting.")[0] for name, _ in network.named_parameters() if name not in left}
    blocks = [f"groups.{group}.blocks.{block}" for group in range(2) for block in range(2)]
    assert gone == {f"{block}.{layer}" for block in blocks for layer in ("global", "coarse", "fine")}


def test_the_original_stays_as_it_was(network: PromptSR, image: Tensor) -> None:
    before, modules = network(image), [name for name, _ in network.named_modules()]
    assert torch.equal(switched(network)(image), before)
    copy = switched(network, **OFF)
    copy(image).sum().backward()  # it can be trained
    assert copy.encoder.weight.grad is not None and copy.encoder.weight.grad.abs().sum() > 0
    with torch.no_grad(), record(copy, ["*.coarse_category"]) as seen:
        copy(image)
        for parameter in copy.parameters():
            parameter.fill_(0)
    assert list(seen) == ["groups.0.blocks.0.global_prompting.coarse_category"]
    assert torch.equal(network(image), before) and [name for name, _ in network.named_modules()] == modules
    assert not any(module._forward_hooks for part in (network, copy) for module in part.modules())


def test_a_prompting_that_is_not_there_cannot_be_switched_off() -> None:
    network = PromptSR(replace(CONFIG, fine_prompting="off"))
    for model in (SRModel("mine", 2, network), load_model("bicubic-x4")):
        with pytest.raises(UserError, match=f"{model.name} is not a PromptSR with all three promptings"):
            switched_off_series(model)


def test_the_series_goes_from_nothing_to_the_whole_network(image: Tensor) -> None:
    model = load_model("promptsr-tiny-x4")
    series = switched_off_series(model)
    labels = ["all three switched off", "anchor only", "anchor + coarse"]
    assert [part.name for part in series[:-1]] == [f"promptsr-tiny-x4, {label}" for label in labels]
    assert series[-1] is model
    none, anchor, coarse, _ = (dict(part.network.named_modules()).keys() for part in series)
    projection, block = "global_prompting.projection", "groups.3.blocks.1"
    assert f"{block}.coarse_prompting.category_attention.projection" in coarse - anchor
    assert not any("category_attention" in name for name in none | anchor)
    assert not any(name.startswith(f"{block}.fine_prompting.category_attention") for name in coarse)
    kinds = [part.network.get_submodule(f"{block}.{projection}")._get_name() for part in series]
    assert kinds == ["Nothing", "Linear", "Linear", "Linear"]
    with torch.no_grad():
        outputs = [part(image[..., :16, :16].float()) for part in series]
    assert all((first - second).abs().max() > 1e-3 for first, second in itertools.pairwise(outputs))


def test_the_names_of_the_series_fit_below_their_pictures() -> None:
    names = [part.name for part in switched_off_series(load_model("promptsr-tiny-x4"))]
    lr, sr = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 48, 48)
    comparison = Comparison(4, lr, sr, tuple(Result(name, sr, 30.0, 0.9, 1, 0.1) for name in names))
    region, values = Region(8, 8, 16), np.pad(np.ones((3, 4, 4)), ((0, 0), (4, 4), (4, 4)))
    maps = [Attribution(name, 4, region, PathSettings(), values, 2.0, 1.0, 0.1) for name in names]
    figure = draw_lam(comparison, maps, "noise")
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for axes in figure.axes for text in axes.texts]
    pictures = [axes.get_window_extent(renderer) for axes in figure.axes]
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(picture) for box in boxes for picture in pictures)


def test_trained_networks_are_found_by_what_they_are(save_own: Callable[[str, ModelConfig], None]) -> None:
    assert trained_ablations(4) == []  # none are bundled: the whole network alone is no ablation
    for name, row in zip(["e", "d", "c"], TABLE_IV, strict=False):
        save_own(name, preset(row))
    save_own("another-size", preset(TABLE_IV[3], anchor_stride=4))
    save_own("another-scale", preset(TABLE_IV[3], scale=2))
    assert [model.name for model in trained_ablations(4)] == ["e", "d", "c"]
    assert trained_ablations(2) == trained_ablations(3) == []
    save_own("a-whole-one", preset(TABLE_IV[3]))
    found = trained_ablations(4)
    assert [model.name for model in found] == ["e", "d", "c", "a-whole-one"]
    assert isinstance(found[1].network, PromptSR) and found[1].network.config.fine_prompting == "off"
