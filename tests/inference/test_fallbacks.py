"""A device that fails, half precision that overflows, oneDNN without memory for code, all simulated.

What was finished is kept, and failures that change where or how precisely it goes on are told.

`cpu:0` stands for a GPU: the same processor, but to PyTorch not the same device as `cpu`.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel
from tests.inference.conftest import enlarged

GPU = "cpu:0"
CALLS: list[str] = []
"""Types of the products of the networks of this file."""
LOST = [
    torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA"),
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: no CUDA-capable device is detected"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("HIP error: the operation cannot be performed in the present state"),
]


class Network(nn.Module):
    """x2, nearest neighbours through a product of large numbers, which float16 does not hold beyond some brightness."""

    def __init__(self, fail: Callable[[int], None] = lambda call: None) -> None:
        super().__init__()
        self.weight = nn.Parameter(5e4 * torch.eye(3)[..., None, None])
        self.fail = fail

    def forward(self, image: Tensor) -> Tensor:
        product = 2 * nn.functional.conv2d(image, self.weight)
        CALLS.append(str(product.dtype).removeprefix("torch."))
        self.fail(len(CALLS))
        return nn.functional.interpolate(product.float() / 1e5, scale_factor=2)


def model(fail: Callable[[int], None] = lambda call: None) -> SRModel:
    return SRModel("toy", 2, Network(fail), half_precision=True)


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    CALLS.clear()


@pytest.fixture
def dark() -> Picture:
    """48 x 16 pixels, three tiles of 16, dark enough for float16."""
    return Picture(np.random.default_rng(0).integers(0, 60, (16, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error).splitlines()[0])
def test_the_processor_goes_on_where_a_device_was_lost(error: Exception, dark: Picture) -> None:
    def fail(call: int) -> None:
        if call == 2:
            raise error

    upscaler = Upscaler(model(fail), tile=16, overlap=0, device=GPU)
    result = upscaler(dark)
    np.testing.assert_array_equal(result.picture.color, enlarged(dark.color))
    assert len(CALLS) == 4 and result.tiles == 3  # the first tile was not made again
    told = f"The device cpu:0 failed ({str(error).splitlines()[0]}), so toy used the CPU."
    assert result.note == told
    again = upscaler(dark)  # which does not try the device any more
    assert len(CALLS) == 7 and again.note == told
    np.testing.assert_array_equal(again.picture.color, enlarged(dark.color))


def test_the_weights_stay_where_they_cannot_be_lost() -> None:
    own = model()
    Upscaler(own, device=GPU)
    assert own.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "error"), [("cpu", LOST[0]), (GPU, RuntimeError("shapes do not fit")), (GPU, KeyError("CUDA error"))]
)
def test_other_errors_are_not_taken_for_a_lost_device(device: str, error: Exception, dark: Picture) -> None:
    def fail(call: int) -> None:
        raise error

    with pytest.raises(type(error)):
        Upscaler(model(fail), tile=16, device=device)(dark)
    assert len(CALLS) == 1


def test_full_precision_goes_on_where_half_overflows(dark: Picture) -> None:
    """Before: tiles in half precision; then the same tile once more, and the rest, in full."""
    bright = Picture(dark.color.copy())
    bright.color[:, 16:32] = 255
    upscaler = Upscaler(model(), tile=16, overlap=0, half=True)
    result = upscaler(bright)
    assert CALLS == ["float16", "float16", "float32", "float32"]
    assert result.note == "toy overflowed in half precision, so it used full precision."
    expected = enlarged(bright.color)
    np.testing.assert_array_equal(result.picture.color[:, 32:], expected[:, 32:])
    assert np.abs(result.picture.color[:, :32].astype(int) - expected[:, :32]).max() <= 1
    CALLS.clear()
    assert upscaler(dark).note == result.note and set(CALLS) == {"float32"}
    CALLS.clear()
    assert Upscaler(model(), tile=16, overlap=0, half=True)(dark).note is None and set(CALLS) == {"float16"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_in_full_precision_are_refused(dark: Picture, value: float) -> None:
    spoilt = model()
    with torch.no_grad():
        spoilt.network.get_parameter("weight")[0] = value
    with pytest.raises(UserError, match="toy gave values that are not finite"):
        Upscaler(spoilt, half=True)(dark)
    assert CALLS == ["float16", "float32"]


def test_all_faults_of_a_run_are_told(dark: Picture) -> None:
    bright = Picture(np.full_like(dark.color, 255))

    def fail(call: int) -> None:
        if call == 1:
            raise torch.OutOfMemoryError("CUDA error: out of memory")
        if call == 3:
            raise LOST[0]

    result = Upscaler(model(fail), tile=48, overlap=0, device=GPU, half=True)(bright)
    np.testing.assert_array_equal(result.picture.color, enlarged(bright.color))
    assert CALLS[:3] == ["float16", "float16", "float32"] and set(CALLS[3:]) == {"float32"}
    half, device, memory = ("in half precision", "The device cpu:0 failed", "Memory ran out at a side of 48 pixels")
    assert result.note is not None
    assert -1 < result.note.index(half) < result.note.index(device) < result.note.index(memory)


def test_without_memory_for_generated_code_it_goes_on_without_onednn(dark: Picture) -> None:
    used: list[bool] = []

    def fail(call: int) -> None:
        used.append(torch._C._get_mkldnn_enabled())
        if used[-1] and call > 1:
            raise RuntimeError("could not create a primitive")

    upscaler = Upscaler(model(fail), tile=16, overlap=0)
    for picture in (dark, dark):
        result = upscaler(picture)
        np.testing.assert_array_equal(result.picture.color, enlarged(dark.color))
        assert (result.tiles, result.tile) == (3, 16)  # no smaller tiles for it
    assert used == [True, True, False, False, False, False, False]
    assert torch._C._get_mkldnn_enabled()  # for everyone else
