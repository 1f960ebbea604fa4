"""The network, the image and the equations of the tests of attention."""

from tests.analysis.attention.conftest import equations, image, network

__all__ = ["equations", "image", "network"]
