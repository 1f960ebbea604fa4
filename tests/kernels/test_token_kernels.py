"""The kernels of linear layers and of the feed-forward network, against torch's own in float64."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from promptsr import kernels
from promptsr.kernels import token_operators as operators
from promptsr.model.network import build_model
from promptsr.model.taps import record
from promptsr.model.token_layers import FeedForward, feed_forward, project
from tests.support.kernels import available, close, given_categories, normal, threads

SIZES = st.integers(1, 150)


@available
def test_gelu_over_its_whole_range() -> None:
    x = torch.cat([torch.linspace(-12, 12, 801), torch.tensor([0.0, -0.0, 1e-6, -1e-6, 100, -100, 1e30, -1e30])])
    # A norm without weight gives its bias, here 1; so the hidden channels are x, and the last layer changes nothing.
    count = len(x)
    zeros = torch.zeros(count)
    mine = operators.feed_forward(zeros[None], zeros, torch.ones(count), 1e-5, x.diag(), zeros, torch.eye(count), zeros)
    expected = F.gelu(x.double())
    assert bool(((mine[0] - expected).abs() <= 3e-7 * x.abs().clamp(min=1)).all())


@available
def test_nan_and_infinity_are_not_lost() -> None:
    x = normal(100, 48)
    x[3, 7], x[70, 0] = float("nan"), float("inf")
    weight, ones, zeros = normal(48, 48, seed=1), torch.ones(48), torch.zeros(48)
    for out in (
        operators.linear(x, None, None, 0.0, weight, None, None),
        operators.linear(x, ones, zeros, 1e-5, weight, None, None),
        operators.feed_forward(x, ones, zeros, 1e-5, weight, zeros, weight, zeros),
    ):
        bad = ~out.isfinite().all(1)
        assert bad.nonzero().flatten().tolist() == [3, 70]


def test_hooks_run_and_gradients_flow() -> None:
    layer, norm, network = nn.Linear(8, 8), nn.LayerNorm(8), FeedForward(8, 1.0)
    x = normal(5, 8)
    assert project(x, layer, norm).requires_grad and feed_forward(x, norm, network).requires_grad
    frozen = [module.requires_grad_(False) for module in (layer, norm, network)]
    assert project(x.requires_grad_(), layer).requires_grad
    assert not any(parameter.requires_grad for module in frozen for parameter in module.parameters())
    seen: list[str] = []
    for name, module in {"layer": layer, "norm": norm, "gelu": network[1]}.items():
        module.register_forward_hook(lambda *_, name=name: seen.append(name))
    with torch.no_grad():
        project(x, layer, norm)
        feed_forward(x, norm, network)
    assert seen == ["norm", "layer", "norm", "gelu"]


def compare_gradients(mine: Tensor, inputs: list[Tensor], expected: Tensor, precise: list[Tensor], seed: int) -> None:
    """Compare results, and the gradients of a random weighting of them to every input."""
    close(mine, expected, 3e-6, 1.0)
    to_out = normal(*mine.shape, seed=seed)
    found = torch.autograd.grad(mine, inputs, to_out)
    wanted = torch.autograd.grad(expected, precise, to_out.double())
    for gradient, reference in zip(found, wanted, strict=True):
        close(gradient, reference, 2e-5, 1.0)


@available
@given(st.integers(1, 700), SIZES, SIZES, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_gradients_of_linear(
    tokens: int, into: int, out: int, biased: bool, normed: bool, added: bool, seed: int
) -> None:
    shapes = [(tokens, into), (out, into), *[(out,)] * biased, *[(into,)] * (2 * normed), *[(tokens, out)] * added]
    inputs = [normal(*shape, seed=seed + i).requires_grad_() for i, shape in enumerate(shapes)]
    precise = [x.detach().double().requires_grad_() for x in inputs]

    def arguments(x: Tensor, weight: Tensor, *rest: Tensor) -> tuple[Tensor | None, ...]:
        left = list(rest)
        bias = left.pop(0) if biased else None
        gain, shift = (left.pop(0), left.pop(0)) if normed else (None, None)
        return x, gain, shift, weight, bias, left.pop(0) if added else None

    x, gain, shift, weight, bias, rest = arguments(*inputs)
    mine = operators.linear(x, gain, shift, 1e-5, weight, bias, rest)
    y, gain, shift, weight, bias, rest = arguments(*precise)
    assert y is not None and weight is not None
    expected = F.linear(y if gain is None else F.layer_norm(y, (into,), gain, shift), weight, bias)
    expected = expected if rest is None else expected + rest
    compare_gradients(mine, inputs, expected, precise, seed + 9)


@available
@given(st.integers(1, 700), SIZES, SIZES, st.integers(0, 10**6))
def test_gradients_of_the_feed_forward_network(tokens: int, c: int, hidden: int, seed: int) -> None:
    shapes = [(tokens, c), (c,), (c,), (hidden, c), (hidden,), (c, hidden), (c,)]
    inputs = [(normal(*shape, seed=seed + i) / shape[-1] ** 0.25).requires_grad_() for i, shape in enumerate(shapes)]
    precise = [x.detach().double().requires_grad_() for x in inputs]
    mine = operators.feed_forward(*inputs[:3], 1e-5, *inputs[3:])
    x, gain, shift, first, bias, second, last = precise
    expected = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (c,), gain, shift), first, bias)), second, last)
    compare_gradients(mine, inputs, expected, precise, seed + 9)


@available
def test_gradients_to_the_input_alone() -> None:
    """As attributions want them: the weights do not train."""
    x, weight, ones, zeros = normal(70, 48).requires_grad_(), normal(48, 48, seed=1), torch.ones(48), torch.zeros(48)
    for out in (
        operators.linear(x, ones, zeros, 1e-5, weight, None, None),
        operators.feed_forward(x, ones, zeros, 1e-5, weight, zeros, weight, zeros),
    ):
        to_x = torch.autograd.grad(out.sum(), x)[0]
        assert bool(to_x.isfinite().all()) and bool(to_x.abs().amax(1).gt(0).all())


@available
def test_gradients_do_not_depend_on_the_number_of_threads() -> None:
    inputs = [normal(*shape, seed=i).requires_grad_() for i, shape in enumerate([(3000, 48), (48,), (48,), (144, 48)])]

    def gradients(count: int) -> tuple[Tensor, ...]:
        with threads(count):
            out = operators.linear(*inputs[:3], 1e-5, inputs[3], None, None)
            return torch.autograd.grad(out.square().sum(), inputs)

    alone = gradients(1)
    assert all(all(map(torch.equal, alone, gradients(count))) for count in (2, 3, 7))


def test_what_stands_in_for_a_layer_is_run() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    class Shifted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    x, layer, norm, network = normal(5, 8), Shifted(8, 8), nn.LayerNorm(8), FeedForward(8, 1.0)
    with torch.no_grad():
        assert torch.equal(project(x, Twice()), 2 * x)  # type: ignore[arg-type]
        assert torch.equal(project(x, layer), F.linear(x, layer.weight, layer.bias) + 1)
        for plain in (nn.LayerNorm(8, elementwise_affine=False), nn.LayerNorm(8, bias=False)):
            linear = nn.Linear(8, 8)
            torch.testing.assert_close(project(x, linear, plain), linear(plain(x)))
        network[2] = Twice()
        torch.testing.assert_close(feed_forward(x, norm, network), 2 * F.gelu(network[0](norm(x))) + x)


@available
@pytest.mark.parametrize("settings", [{}, {"channels": 20, "heads": 5, "mlp_ratio": 1.7, "category_size": 50}])
def test_the_network_without_kernels_gives_the_same(settings: dict[str, int]) -> None:
    torch.manual_seed(0)
    network = build_model("promptsr-tiny", bicubic_skip=False, **settings).requires_grad_(False)
    for parameter in network.parameters():  # fresh networks with a skip begin as bicubic, and biases as zero
        parameter.add_(0.05 * torch.randn_like(parameter))
    image = torch.rand(2, 3, 37, 50)
    with record(network, ["*_category"]) as categories:
        mine = network(image)
    with kernels.disabled(), given_categories(network, categories):  # free ones may fall the other way on a tie
        plain = network(image)
    assert not torch.equal(mine, plain)  # it did take another path
    assert float((mine - plain).abs().max()) < 1e-4 * float(plain.abs().max())


@available
@pytest.mark.parametrize("normed", [True, False])
def test_torch_finds_the_operators_sound(normed: bool) -> None:
    norm = (torch.ones(8), torch.zeros(8)) if normed else (None, None)
    torch.library.opcheck(torch.ops.promptsr.linear, (normal(3, 5, 8), *norm, 1e-5, normal(6, 8), None, None))
    arguments = (normal(3, 8), torch.ones(8), torch.zeros(8), 1e-5, normal(6, 8), normal(6), normal(8, 6), normal(8))
    torch.library.opcheck(torch.ops.promptsr.feed_forward, arguments)


@available
def test_a_gradient_of_a_gradient_is_refused() -> None:
    x = normal(3, 8).requires_grad_()
    out = operators.linear(x, None, None, 0.0, normal(6, 8), None, None)
    [gradient] = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="promptsr::token_layers_backward has no gradient"):
        gradient.sum().backward()


def test_torchs_compiler_is_not_loaded_for_an_operator() -> None:
    code = (
        "import sys, torch; from promptsr import load_model\n"
        "load_model('promptsr-tiny-x4')(torch.rand(1, 3, 9, 8, requires_grad=True)).sum().backward()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
