"""Failure cases as plain values and tensors, and back: how the log of a search keeps them."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, Result
from analysis.failures.study import Case
from analysis.failures.texture import Texture
from promptsr.imaging.picture import to_pixels, to_unit


def from_case(case: Case) -> dict[str, Any]:
    """Return all of a case but the name of its image; its pixels with 16 bits, which are exact, as files have no
    more."""
    near = case.surroundings
    return {
        **{name: value for name, value in vars(case).items() if name not in ("image", "surroundings")},
        "texture": asdict(case.texture),
        "inset": asdict(case.inset),
        "scale": near.scale,
        "lr": _pack(near.lr),
        "hr": _pack(case.hr),
        "results": [{**vars(result), "sr": _pack(result.sr)} for result in near.results],
    }


def to_case(image: str, record: dict[str, Any]) -> Case:
    """Return a case of the image of this name, equal to that of `from_case`."""
    values = dict(record)
    results = tuple(Result(**{**each, "sr": _unpack(each["sr"])}) for each in values.pop("results"))
    scale, lr, hr = values.pop("scale"), _unpack(values.pop("lr")), _unpack(values.pop("hr"))
    inset, texture = Region(**values.pop("inset")), Texture(**values.pop("texture"))
    surroundings = Comparison(scale, lr, hr, results)
    return Case(image, **values, texture=texture, surroundings=surroundings, inset=inset)


def _pack(image: Tensor) -> Tensor:
    return torch.from_numpy(to_pixels(image, 16).view(np.int16))  # torch 2.13 cannot pickle uint16


def _unpack(image: Tensor) -> Tensor:
    return to_unit(image.numpy().view(np.uint16))
