"""Memory that a network keeps for its backward pass, against a count by hand, and the sizes refused for it."""

import gc
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from analysis.lam.backward_memory import MEMORY_BUDGET, check_memory, kept_bytes_per_pixel
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel


class Layers(nn.Module):
    """A convolution to 10 channels, three times tanh, and a sum that keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 10, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        result = self.first(image).tanh().tanh().tanh()
        return result[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_what_is_kept_is_counted_once() -> None:
    model = SRModel("layers", 2, Layers())
    # The convolution keeps its input, every tanh its result; weights are there anyway.
    assert kept_bytes_per_pixel(model) == pytest.approx(4 * (3 + 3 * 10), rel=1e-3)
    assert all(parameter.grad is None for parameter in model.network.parameters())
    with torch.no_grad():
        assert kept_bytes_per_pixel(model) > 100


def test_nothing_of_the_trial_stays() -> None:
    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    model = SRModel("layers", 2, Layers())
    before = tensors()
    for _ in range(3):
        kept_bytes_per_pixel(model)
    assert tensors() == before


MEASURE = """
from pathlib import Path
import torch
from analysis import LocalAttributionMap, Region
from promptsr.zoo.load import load_model
torch.set_num_threads(1)
lam = LocalAttributionMap(load_model("promptsr-tiny-x4"))
def peak():  # of this process alone; what `resource` tells begins with the peak of the process that started it
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
next(lam.stream(torch.rand(1, 3, 64, 64), Region(100, 100, 16), at_once=2))
print(1024 * (peak() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory as Linux tells it")
def test_estimate_is_about_what_a_pass_takes() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=120, check=True)
    model = load_model("promptsr-tiny-x4")
    estimate = (1.5 * kept_bytes_per_pixel(model) + model.bytes_per_pixel) * 64 * 64 * 2
    assert int(done.stdout) == pytest.approx(estimate, rel=0.3)


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    model = load_model("promptsr-tiny-x4")
    most = int(MEMORY_BUDGET / (1.5 * kept_bytes_per_pixel(model) + model.bytes_per_pixel))  # pixels
    check_memory(model, 1, most, 1)
    with pytest.raises(UserError, match=r"about 16 GiB.*at once: crop the image to") as refusal:
        check_memory(model, 2, most, 1)
    side = int(str(refusal.value).split("crop the image to ")[1].split()[0])
    check_memory(model, side, side, 1)
    with pytest.raises(UserError, match="do 2 at once, or crop"):
        check_memory(model, 1, most // 2, 4)
    check_memory(model, 1, most // 2, 2)
