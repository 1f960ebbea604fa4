"""Sentences of the page about a finished run."""

import numpy as np

from promptsr.imaging import Picture
from promptsr.inference.upscaler import UpscaleResult
from workbench.ui import status


def test_running_out_of_memory_is_told() -> None:
    picture = Picture(np.zeros((80, 80, 3), dtype=np.uint8))
    calm, cramped = UpscaleResult(picture, None, 1, 0.5), UpscaleResult(picture, 16, 9, 0.5, "Memory ran out at 40")
    assert cramped.note and cramped.note in status.finished([cramped], (40, 40), "bicubic", "toy")
    assert "Memory ran out" not in status.finished([calm], (40, 40), "bicubic", "toy")
