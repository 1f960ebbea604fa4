"""The upscaler: any picture and any setting give a result of exact size, depth and channels, or a `UserError`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from promptsr.imaging import Picture
from promptsr.imaging.picture import to_pixels
from promptsr.inference.upscaler import Upscaler
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel
from tests.fuzz.checkpoints import CONFIG, own
from tests.fuzz.target import Target

_ALPHAS = ("none", "opaque", "empty", "varied")


@dataclass(frozen=True)
class Request:
    """A picture and how it is to be upscaled."""

    height: int
    width: int
    deep: bool
    grey: bool
    alpha: str
    network: str
    scale: int
    tile: str | int
    overlap: int
    budget: int
    min_tile: int
    most: int

    @property
    def least(self) -> int:
        """Side of the smallest tile."""
        return CONFIG.size_multiple if self.network == "promptsr" else self.min_tile

    @property
    def factor(self) -> int:
        """Of the enlargement."""
        return CONFIG.scale if self.network == "promptsr" else self.scale

    @property
    def is_possible(self) -> bool:
        """Whether the documentation allows it."""
        fits = self.height * self.width * self.factor**2 <= self.most
        named = self.tile in ("auto", "whole") if isinstance(self.tile, str) else self.tile >= self.least
        return fits and named and self.overlap >= 0

    def picture(self) -> Picture:
        """Noise, the same for the same request."""
        dtype = np.uint16 if self.deep else np.uint8
        random = np.random.default_rng([self.height, self.width])
        values = random.integers(0, np.iinfo(dtype).max, (self.height, self.width, 4), dtype, endpoint=True)
        alphas = {"none": None, "opaque": np.full_like(values[..., 3], np.iinfo(dtype).max)}
        alphas |= {"empty": np.zeros_like(values[..., 3]), "varied": np.maximum(values[..., 3], 1)}
        color = values[..., :1].repeat(3, axis=2) if self.grey else values[..., :3]
        return Picture(np.ascontiguousarray(color), alphas[self.alpha], self.grey)


class Interpolation(nn.Module):
    """What torch does to an image."""

    def __init__(self, mode: str, scale: int) -> None:
        super().__init__()
        self.mode, self.scale = mode, scale

    def forward(self, image: Tensor) -> Tensor:
        return F.interpolate(image, scale_factor=self.scale, mode=self.mode)


@cache
def _promptsr() -> PromptSR:
    network = PromptSR(CONFIG)
    network.load_state_dict(own())
    return network.eval().requires_grad_(False)


_SIDES = st.integers(1, 8) | st.integers(1, 48)
_REQUESTS = st.builds(
    Request,
    height=_SIDES,
    width=_SIDES,
    deep=st.booleans(),
    grey=st.booleans(),
    alpha=st.sampled_from(_ALPHAS),
    network=st.sampled_from(["nearest", "bicubic", "promptsr"]),
    scale=st.integers(1, 4),
    tile=st.sampled_from(["auto", "whole"]) | st.integers(4, 40) | st.integers(-1, 3) | st.text(max_size=3),
    overlap=st.integers(0, 40) | st.integers(-2, 0) | st.just(2**31),
    budget=st.sampled_from([2**28, 2**28, 2**16, 1, 0, -1]),
    min_tile=st.integers(1, 8),
    most=st.sampled_from([2**28, 2**28, 2**28, 100]),
)


def check(request: Request, _: Path) -> None:
    """Also: nearest and bicubic interpolation are the same in tiles and whole, within what rounding may change."""
    network = _promptsr() if request.network == "promptsr" else Interpolation(request.network, request.scale)
    scale = request.factor
    model = SRModel("toy", scale, network, request.least)
    picture = request.picture()
    result = Upscaler(
        model,
        tile=request.tile,
        overlap=request.overlap,
        memory_budget=request.budget,
        max_output_pixels=request.most,
    )(picture)
    made = result.picture
    assert (made.height, made.width) == (scale * request.height, scale * request.width)
    assert made.color.dtype == picture.color.dtype and made.grey == request.grey
    assert (made.alpha is None) == (request.alpha == "none")
    if request.grey:
        assert (made.color == made.color[..., :1]).all()
    if made.alpha is not None and request.alpha != "varied":
        assert picture.alpha is not None and (made.alpha == picture.alpha[0, 0]).all()
    assert (result.tile is None) or result.tile >= min(request.least, max(request.height, request.width))
    local = request.network == "nearest" or (request.network == "bicubic" and request.overlap >= 8)
    # Half of a tile is the most that tiles overlap; bicubic looks two pixels far.
    if result.tile is None or (local and (request.network == "nearest" or result.tile >= 16)):
        with torch.inference_mode():
            expected = network(picture.to_tensor())[0]
        if request.grey:
            expected = expected.mean(0).expand(3, -1, -1)
        pixels = to_pixels(expected.permute(1, 2, 0), picture.bit_depth)  # 3 x sH x sW -> sH x sW x 3
        rounding = 0 if result.tile is None else 2 if request.deep else 1
        assert np.abs(made.color.astype(int) - pixels.astype(int)).max() <= rounding


def check_refusals(request: Request, folder: Path) -> None:
    """What is possible is done."""
    try:
        check(request, folder)
    except UserError:
        assert not request.is_possible, "it was refused"
        raise
    assert request.is_possible, "it was not refused"


TARGETS = [Target("upscale", _REQUESTS, check_refusals, UserError, quick=40)]
