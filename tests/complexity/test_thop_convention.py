"""The rules of the as-published convention against the counter itself, and networks that only real values can run."""

import pytest
import thop
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from promptsr.complexity.counting import count
from promptsr.complexity.thop_convention import RULES
from promptsr.zoo.peers.hpinet import HPINet
from promptsr.zoo.peers.imdn import IMDN
from promptsr.zoo.peers.smfanet import SMFANet

STEM = nn.Conv2d(3, 8, 3, padding=1)
LAYERS: dict[str, nn.Module] = {
    "convolution": nn.Conv2d(8, 12, (3, 5), stride=2, groups=4, bias=False),
    "transposed": nn.ConvTranspose2d(8, 4, 4, stride=2, groups=2),
    "linear": nn.Linear(14, 5),
    "layer norm": nn.LayerNorm(14),
    "layer norm, plain": nn.LayerNorm((10, 14), elementwise_affine=False),
    "batch norm": nn.BatchNorm2d(8),
    "batch norm, plain": nn.BatchNorm2d(8, affine=False),
    "instance norm": nn.InstanceNorm2d(8),
    "instance norm, affine": nn.InstanceNorm2d(8, affine=True),
    "softmax": nn.Softmax(dim=1),
    "PReLU": nn.PReLU(8),
    "pooling": nn.AvgPool2d(3),
    "global pooling": nn.AdaptiveAvgPool2d(1),
    "adaptive pooling": nn.AdaptiveAvgPool2d((5, 7)),
    "nearest": nn.Upsample(scale_factor=3),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bicubic": nn.Upsample(scale_factor=2, mode="bicubic"),
    "upsampling, old": nn.UpsamplingBilinear2d(scale_factor=2),
    "upsampling, older": nn.UpsamplingNearest2d(scale_factor=2),
    "activations": nn.Sequential(nn.ReLU(), nn.LeakyReLU(0.1), nn.GELU(), nn.Dropout(), nn.PixelShuffle(2)),
}


def thop_counts(network: nn.Module, height: int, width: int) -> tuple[int, int]:
    operations, parameters = thop.profile(network, (torch.rand(1, 3, height, width),), verbose=False)
    return int(parameters), int(operations)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_counts_as_in_thop(name: str) -> None:
    network = nn.Sequential(STEM, LAYERS[name]).eval()
    cost = count(network, 10, 14)
    assert (cost.published_parameters, cost.published_multiply_adds) == thop_counts(network, 10, 14)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_a_normalised_weight_changes_no_kind() -> None:
    """The hook of LAPAR's authors leaves a convolution a convolution; PyTorch's parametrization does not."""
    cost = count(nn.Sequential(weight_norm(nn.Conv2d(3, 8, 3, padding=1))), 10, 14)
    theirs = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 8, 3, padding=1)))
    assert (cost.published_parameters, cost.published_multiply_adds) == thop_counts(theirs, 10, 14)
    assert cost.published_multiply_adds == cost.multiply_adds == 3 * 8 * 9 * 10 * 14


def test_every_rule_is_tried() -> None:
    assert set(RULES) <= {type(part) for layer in LAYERS.values() for part in layer.modules()}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", [IMDN, SMFANet, HPINet])
def test_peers_count_as_in_thop(kind: type[IMDN] | type[SMFANet] | type[HPINet], scale: int) -> None:
    network = kind(scale).eval()
    cost = count(network, 26, 30)
    assert (cost.published_parameters, cost.published_multiply_adds) == thop_counts(network, 26, 30)
    assert cost.parameters == sum(parameter.numel() for parameter in network.parameters())


class Looking(nn.Module):
    """Repeats a layer as often as a value says, which a tensor without values cannot tell."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        for _ in range(int((image.sum() * 0 + 2).item())):
            image = self.layer(image)
        return image


def test_a_network_that_looks_at_values_is_counted() -> None:
    network = Looking()
    assert (count(network, 4, 5).multiply_adds, count(network, 4, 5).parameters) == (2 * 20 * 9, 12)
    assert next(network.parameters()).device.type == "cpu"


class Fused(nn.Module):
    """Four heads of fused attention; looks at a value, so that it runs with values."""

    def __init__(self, looking: bool) -> None:
        super().__init__()
        self.looking = looking

    def forward(self, image: Tensor) -> Tensor:
        q = image.reshape(1, 1, -1, 12).expand(1, 4, -1, 12)  # 1 x 3 x H x W -> 1 x 4 heads x HW/4 x 12
        if self.looking:
            q = q * (1 + int(image.sum().item()))
        return F.scaled_dot_product_attention(q, q, q)


@pytest.mark.parametrize("looking", [False, True])
def test_fused_attention_is_work(looking: bool) -> None:
    # 8 x 8 pixels make 16 tokens of 12 numbers: q k^T and its product with v, in four heads
    assert count(Fused(looking), 8, 8).multiply_adds == 4 * 2 * 16 * 16 * 12


def test_errors_of_the_network_stay_its_own() -> None:
    class Broken(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        count(Broken(), 4, 4)
