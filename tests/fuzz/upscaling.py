"""The upscaler: any picture and any setting give a result of exact size, depth and channels, or a `UserError`."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from torch import nn

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel
from tests.fuzz.checkpoints import CONFIG, own
from tests.fuzz.target import Target

_SIDES = st.integers(1, 8) | st.integers(1, 48)
_REQUESTS = st.fixed_dictionaries(
    {
        "size": st.tuples(_SIDES, _SIDES),
        "deep": st.booleans(),
        "grey": st.booleans(),
        "alpha": st.sampled_from(["none", "opaque", "empty", "varied"]),
        "network": st.sampled_from(["nearest", "bicubic", "promptsr"]),
        "scale": st.integers(1, 4),
        "min_tile": st.integers(1, 8),
        "tile": st.sampled_from(["auto", "whole"]) | st.integers(4, 40) | st.integers(-1, 3) | st.text(max_size=3),
        "overlap": st.integers(0, 40) | st.integers(-2, 0) | st.just(2**31),
        "memory_budget": st.sampled_from([2**28, 2**28, 2**16, 1, 0, -1]),
        "max_output_pixels": st.sampled_from([2**28, 2**28, 2**28, 100]),
    }
)


def _picture(height: int, width: int, deep: bool, grey: bool, alpha: str) -> Picture:
    """Noise, the same for the same request."""
    dtype = np.uint16 if deep else np.uint8
    most = np.iinfo(dtype).max
    values = np.random.default_rng([height, width]).integers(0, most, (height, width, 4), dtype, endpoint=True)
    alphas = {"none": None, "opaque": np.full_like(values[..., 3], most)}
    alphas |= {"empty": np.zeros_like(values[..., 3]), "varied": np.maximum(values[..., 3], 1)}
    color = values[..., :1].repeat(3, axis=2) if grey else values[..., :3]
    return Picture(np.ascontiguousarray(color), alphas[alpha], grey)


@cache
def _model(network: str, scale: int, min_tile: int) -> SRModel:
    if network != "promptsr":
        return SRModel("toy", scale, nn.Upsample(scale_factor=scale, mode=network), min_tile)
    promptsr = PromptSR(CONFIG)
    promptsr.load_state_dict(own())
    return SRModel("toy", CONFIG.scale, promptsr.eval().requires_grad_(False), CONFIG.size_multiple)


def check(request: dict[str, Any], _: Path) -> None:
    """A request is refused exactly if it is impossible by the documentation."""
    height, width = request["size"]
    model = _model(request["network"], request["scale"], request["min_tile"])
    least, tile = model.min_tile, request["tile"]
    settings = {name: request[name] for name in ("tile", "overlap", "memory_budget", "max_output_pixels")}
    possible = (
        height * width * model.scale**2 <= request["max_output_pixels"]
        and request["overlap"] >= 0
        and (tile in ("auto", "whole") if isinstance(tile, str) else tile >= least)
    )
    picture = _picture(height, width, request["deep"], request["grey"], request["alpha"])
    try:
        result = Upscaler(model, **settings)(picture)
    except UserError:
        assert not possible, "it was refused"
        raise
    assert possible, "it was not refused"
    made = result.picture
    assert (made.height, made.width) == (model.scale * height, model.scale * width)
    assert made.color.dtype == picture.color.dtype and made.grey == picture.grey
    assert (made.alpha is None) == (picture.alpha is None)
    if picture.grey:
        assert (made.color == made.color[..., :1]).all()
    if made.alpha is not None and request["alpha"] != "varied":
        assert picture.alpha is not None and (made.alpha == picture.alpha[0, 0]).all()
    assert result.tile is None or result.tile >= min(least, max(height, width))


TARGETS = [Target("upscale", lambda: _REQUESTS, check, UserError, quick=40)]
