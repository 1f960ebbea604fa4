"""Under autocast, layers compute in half precision, and what they add to and choose by stays exact."""

import torch
from torch import Tensor

from promptsr import kernels
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.taps import record
from promptsr.zoo.load import load_model
from tests.support.kernels import normal

IMAGE = (0.5 + 0.1 * normal(1, 3, 32, 48, seed=4).cumsum(2).cumsum(3) / 20).clamp(0, 1)


def run(autocast: bool) -> tuple[Tensor, dict[str, Tensor], list[torch.dtype]]:
    network = load_model("promptsr-x4").network
    between: list[torch.dtype] = []
    for block in network.modules():
        if isinstance(block, CascadePromptingBlock):
            block.register_forward_hook(lambda _block, _inputs, results: between.append(results[0].dtype))
    plain = kernels.disabled()  # as on a GPU
    arithmetic = torch.autocast("cpu", torch.bfloat16, enabled=autocast)
    with plain, torch.no_grad(), record(network, ["*_category", "*_map"]) as seen, arithmetic:
        result = network(IMAGE)
    return result, seen, between


def test_features_and_similarities_keep_their_digits() -> None:
    exact, categories, _ = run(False)
    result, found, between = run(True)
    assert result.dtype == torch.float32
    assert set(between) == {torch.float32}
    assert {value.dtype for name, value in found.items() if name.endswith("_map")} == {torch.float32}
    same = [float((found[name] == value).float().mean()) for name, value in categories.items() if "category" in name]
    assert sum(same) / len(same) > 0.85
    assert float((result - exact).abs().mean()) < 0.002
