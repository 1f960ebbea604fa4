"""The model that enlarges an image when nobody has chosen one."""

BEST, FAST = "promptsr-x4", "promptsr-tiny-x4"
LARGEST = 2**20
"""Pixels of an image, of all its frames together, that the best one enlarges in under a minute on two cores."""


def default_model(pixels: int) -> str:
    """Return the name of the best bundled network that a person would wait for.

    Args:
        pixels: of the image, of all its frames together.
    """
    return BEST if pixels <= LARGEST else FAST
