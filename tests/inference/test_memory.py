"""The upscaler when memory runs out, and the memory that models are said to need."""

import ctypes
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from promptsr.config import preset
from promptsr.imaging import Picture
from promptsr.inference.upscaler import Progress, Upscaler
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.memory import MEASURED, is_out_of_memory, return_freed_memory, working_memory
from promptsr.zoo.sr_model import SRModel
from tests.inference.conftest import bicubic, nearest, noise, toy

REFUSALS: dict[str, Callable[[], BaseException]] = {
    "python": MemoryError,
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    "windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    "library": lambda: RuntimeError("std::bad_alloc"),
    "onednn": lambda: RuntimeError("could not create a primitive"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
}


class Small(nn.Module):
    """Bicubic interpolation that looks two pixels far and has memory for `most` pixels only."""

    def __init__(self, most: int, refusal: Callable[[], BaseException] = MemoryError, scale: int = 2) -> None:
        super().__init__()
        self.most, self.refusal, self.scale = most, refusal, scale
        self.refused: list[tuple[int, int]] = []
        self.accepted: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height * width > self.most:
            self.refused.append((height, width))
            raise self.refusal()
        self.accepted.append((height, width))
        return bicubic(x, self.scale)


def model(network: Small, **fields: Any) -> SRModel:
    return SRModel("toy", network.scale, network, **fields)


def check(result: Tensor, source: Tensor, scale: int = 2) -> None:
    torch.testing.assert_close(result, bicubic(source, scale), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize(
    ("tile", "tiling"),
    [("auto", "supported"), ("whole", "supported"), (80, "supported"), ("auto", "discouraged"), ("auto", "internal")],
)
def test_the_image_comes_through_in_smaller_tiles(kind: str, tile: str | int, tiling: Any) -> None:
    network, source = Small(40 * 40, REFUSALS[kind]), noise(80, 70)
    check(finish(Upscaler(model(network, tiling=tiling), tile=tile).upscale_tensor(source)), source)
    assert network.refused == [(80, 70)] * (2 if kind == "onednn" else 1)  # once more without oneDNN
    # 40 pixels that share 16 begin at 0, 24 and 40 of 80, and at 0, 24 and 30 of 70.
    assert network.accepted == [(40, 40)] * 9


SIDES = st.integers(33, 90)


@given(
    SIDES, SIDES, st.integers(32, 60), st.integers(1024, 4000), st.integers(8, 30), st.integers(1, 7), st.integers(2, 4)
)
def test_smaller_tiles_are_invisible(
    height: int, width: int, tile: int, most: int, overlap: int, step: int, scale: int
) -> None:
    """Whatever is refused: the weights of nested tiles sum to one, and their margins hold what bicubic needs."""
    least = -(-32 // step) * step
    network, source = Small(max(most, least**2), scale=scale), noise(height, width)
    worker = Upscaler(model(network, min_tile=step), tile=max(tile, least), overlap=overlap)
    check(finish(worker.upscale_tensor(source)), source, scale)
    for tried in network.refused[1:]:
        assert max(tried) % step == 0 or max(tried) in (height, width)


def test_finished_tiles_are_kept_and_all_that_follow_are_small() -> None:
    network, source = Small(64 * 64), noise(64, 160)

    def shrink(x: Tensor) -> Tensor:
        if len(network.accepted) == 1:
            network.most = 32 * 32  # another program has taken the memory
        return type(network).forward(network, x)

    network.forward = shrink  # type: ignore[method-assign]
    steps: list[Progress] = []
    check(finish(Upscaler(model(network), tile=64).upscale_tensor(source), steps.append), source)
    # Three tiles of 64; the second is refused, and both it and the third become 3 x 3 of 32.
    assert network.refused == [(64, 64)]
    assert network.accepted == [(64, 64), *[(32, 32)] * 18]
    assert [step.done for step in steps] == list(range(1, 20))
    assert [step.total for step in steps] == [3] + [11] * 9 + [19] * 9


def test_the_result_says_what_happened() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (130, 70, 4), dtype=np.uint8)
    picture = Picture(pixels[..., :3], pixels[..., 3])
    network = Small(32 * 32)
    result = Upscaler(model(network))(picture)
    assert (result.tile, result.tiles) == (32, len(network.accepted))
    # 130 is halved to 65, which is refused as well; the alpha channel goes through in tiles of 32 at once.
    assert network.refused == [(130, 70), (65, 65)]
    assert result.note == (
        "Memory ran out at a side of 130 pixels, so the rest went through in tiles of 32; what was finished by then "
        "was kept."
    )
    calm = Upscaler(model(Small(130 * 70)), tile=32)(picture)
    assert calm.note is None and calm.tile == 32


@pytest.mark.parametrize(("step", "least"), [(1, 32), (8, 32), (12, 36), (64, 64)])
def test_tiles_are_multiples_of_the_step_down_to_the_least(step: int, least: int) -> None:
    network = Small(0)
    with pytest.raises(UserError, match=f"toy even in tiles of {least} pixels: close other programs"):
        finish(Upscaler(model(network, min_tile=step)).upscale_tensor(noise(200, 150)))
    sides = [max(size) for size in network.refused]
    assert sides[0] == 200 and sides[-1] == least and not network.accepted
    for larger, smaller in itertools.pairwise(sides):
        assert smaller % step == 0 and (smaller == least or larger // 2 - step < smaller <= larger // 2)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
        ValueError("no"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_pass_through(error: BaseException) -> None:
    network = Small(0, lambda: error)
    with pytest.raises(type(error)) as caught:
        finish(Upscaler(model(network)).upscale_tensor(noise(64, 64)))
    assert caught.value is error and len(network.refused) == 1


def test_the_failed_pass_is_let_go_before_the_next() -> None:
    alive: list[int] = []

    class Held:
        count = 0

        def __init__(self) -> None:
            Held.count += 1

        def __del__(self) -> None:
            Held.count -= 1

    def hold(x: Tensor) -> Tensor:
        alive.append(Held.count)
        held = Held()
        if x.shape[2] > 32:
            raise MemoryError
        del held
        return nearest(x)

    finish(Upscaler(toy(hold)).upscale_tensor(noise(64, 64)))
    assert len(alive) == 10 and set(alive) == {0}


def test_a_result_without_memory_is_one_sentence() -> None:
    with pytest.raises(UserError, match="not enough memory for the result: close other programs, crop the image"):
        finish(Upscaler(model(Small(40 * 40, scale=10**6)), max_output_pixels=10**18).upscale_tensor(noise(4, 4)))


def test_an_error_is_known_by_what_caused_it() -> None:
    """As of an ONNX file, whose errors are wrapped."""
    try:
        raise UserError("mine failed on an image of 9 x 9 pixels") from RuntimeError("Failed to allocate memory")
    except UserError as error:
        assert is_out_of_memory(error)
    assert not is_out_of_memory(UserError("mine failed"))


@given(
    *(st.integers(1, 2000), st.integers(1, 2000)),
    *(st.integers(0, 10**6), st.integers(1, 40), st.booleans(), st.integers(0, 10**8)),
)
def test_auto_tiles_are_the_largest_that_fit(
    height: int, width: int, fixed: int, step: int, pads: bool, budget: int
) -> None:
    multiple = step if pads else 1
    worker = model(Small(0), min_tile=step, size_multiple=multiple, bytes_per_pixel=7, fixed_bytes=fixed)

    def need(rows: int, columns: int) -> int:
        return fixed + 7 * (-(-rows // multiple) * multiple) * (-(-columns // multiple) * multiple)

    assert worker.working_memory(height, width) == need(height, width)
    tile = Upscaler(worker, memory_budget=budget).tile_for(height, width)
    if tile is None:
        assert need(height, width) <= budget or step >= max(height, width)
    else:
        assert need(height, width) > budget and tile % step == 0
        assert tile == step or need(tile, tile) <= budget
        assert need(tile + step, tile + step) > budget


def test_presets_have_measured_constants_at_any_depth_and_others_a_larger_estimate() -> None:
    assert {scale for name, scale in MEASURED if name == "promptsr"} == {2, 3, 4}
    for (name, scale), measured in MEASURED.items():
        assert working_memory(preset(name, scale=scale)) == measured
        assert working_memory(preset(name, scale=scale, groups=1, bicubic_skip=True)) == measured
        unlike = working_memory(preset(name, scale=scale, category_size=64))
        assert unlike.per_pixel > measured.per_pixel
    assert working_memory(preset("promptsr-star", scale=3)) == MEASURED["promptsr", 3]
    model = load_model("promptsr-tiny-x4")
    assert (model.bytes_per_pixel, model.size_multiple) == (MEASURED["promptsr-tiny", 4].per_pixel, 8)


linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory like this")
LIMITED = """
import resource, sys
import promptsr.wait_policy
import numpy as np, torch
from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.zoo.load import load_model

upscaler = Upscaler(load_model("promptsr-tiny-x4"), tile="whole")
pixels = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
upscaler(Picture(pixels[:16, :16]))  # whatever is loaded once
free = torch.empty(int(sys.argv[2]) * 2**18)
last = torch.empty(2**14)  # what keeps glibc from giving the other back
del free
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
result = upscaler(Picture(pixels))
print(result.picture.color.shape, result.tile, result.tiles, result.note)
"""


def limited(mebibytes: int, kernels: str, threads: int, free: int) -> subprocess.CompletedProcess[str]:
    """240 x 240 pixels in a process that has so much more than it held before, and so much that it had freed."""
    environment = {**os.environ, "PROMPTSR_KERNELS": kernels, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", LIMITED, str(mebibytes), str(free)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


BACKS_OFF = r"\(960, 960, 3\) .*Memory ran out at a side of 240 pixels"
TOO_LITTLE = "UserError: There is not enough memory for the result: close other programs"
EITHER = rf"in tiles of (3[2-9]|[4-9]\d|\d{{3}});|{TOO_LITTLE}|UserError: There is not enough memory for promptsr-tiny"


@linux
@pytest.mark.parametrize("kernels", ["on", "off"])
@pytest.mark.parametrize(
    ("mebibytes", "free", "threads", "outcome"),
    [
        (80, 0, 1, BACKS_OFF),  # the whole image needs about 100 MiB with kernels, and 200 without
        (0, 100, 1, BACKS_OFF),  # all that glibc holds free: nothing that oneDNN could ask the system for
        (60, 0, 1, EITHER),  # a result or a message, rather than a minute of ever smaller tiles
        (40, 0, 2, EITHER),
        (20, 0, 1, TOO_LITTLE),  # the result alone needs 21 MiB: that is known before any tile
        (10, 0, 2, TOO_LITTLE),
    ],
)
def test_a_process_of_little_memory_backs_off_or_says_so(
    kernels: str, mebibytes: int, free: int, threads: int, outcome: str
) -> None:
    done = limited(mebibytes, kernels, threads, free)
    assert re.search(outcome, done.stdout + done.stderr), done.stderr
    assert (done.returncode == 0) == ("UserError" not in done.stderr)


@linux
def test_freed_memory_goes_back_to_the_system() -> None:
    """Blocks below the size that malloc maps one by one: it keeps them when they are freed."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library returns freed memory by itself")
    blocks = [torch.ones(25_000) for _ in range(500)]  # 50 MB in blocks of 100 kB
    held = resident()
    del blocks
    return_freed_memory()
    assert resident() < held - 40 * 2**20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
