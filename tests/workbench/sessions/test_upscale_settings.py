"""Settings of the drawer *Advanced* reach the upscaler."""

from dataclasses import replace

import numpy as np
import pytest

from promptsr import Upscaler, load_model
from promptsr.imaging import Picture
from promptsr.support.errors import ConfigError
from workbench.sessions.upscale import UpscaleSettings


def test_half_precision_is_that_of_the_upscaler() -> None:
    safe = replace(load_model("promptsr-tiny-x4"), half_precision=True)
    photograph = Picture(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    expected = Upscaler(safe, half=True)(photograph).picture.color
    assert np.array_equal(UpscaleSettings(half=True).upscaler(safe)(photograph).picture.color, expected)
    assert not np.array_equal(UpscaleSettings().upscaler(safe)(photograph).picture.color, expected)
    assert UpscaleSettings(half=True).way() != UpscaleSettings().way()
    UpscaleSettings(half=True).upscaler(load_model("bicubic-x4"))  # which is always in full precision
    with pytest.raises(ConfigError, match="not known to be safe in half precision"):
        UpscaleSettings(half=True).upscaler(load_model("promptsr-tiny-x4"))
