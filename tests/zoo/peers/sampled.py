"""Weights, images and places by rules that every machine follows alike, to compare a network with what the code of its
authors made: their checkpoints are large and are not ours to pass on, and some samples of a result tell as much.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

SAMPLES = 50


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A float32 tensor for each name that the authors use: scales around 1, biases around 0, others by their inputs."""
    state = {}
    for name, shape in shapes.items():
        values = 2 * _numbers(name, int(np.prod(shape))).reshape(tuple(shape)) - 1
        if len(shape) > 1:
            values /= np.sqrt(np.prod(shape[1:]) / 3)
        else:
            values = 1 + 0.3 * values if name.endswith("weight") else 0.1 * values
        state[name] = torch.from_numpy(values).float()
    return state


def picture(height: int, width: int) -> Tensor:
    """1 x 3 x H x W in [0, 1], in double precision."""
    return torch.from_numpy(_numbers(f"{height} x {width}", 3 * height * width).reshape(1, 3, height, width))


def samples(result: Tensor) -> list[float]:
    """Some of a result's values, always from the same places."""
    places = (_numbers("places", SAMPLES) * result.numel()).astype(int)
    values: list[float] = result.detach().double().flatten()[torch.from_numpy(places)].tolist()
    return values


def compare(result: Tensor, expected: Sequence[float], tolerance: float = 1e-9) -> None:
    """Asserts that samples of a result are those expected, to a share of the largest."""
    bound = tolerance * max(map(abs, expected))
    torch.testing.assert_close(samples(result), list(expected), rtol=0, atol=bound)


def _numbers(name: str, count: int) -> np.ndarray:
    """Numbers in [0, 1) that depend on a name only. NumPy promises that these raw ones never change."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(count)
    return np.asarray(raw >> np.uint64(11)) * 2.0**-53
