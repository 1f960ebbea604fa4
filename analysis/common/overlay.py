"""Maps in colour over a picture in grey, as arrays that a figure or a page can show."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

SPAN = 30
"""Times above and below the mean where the colours of `relative` end."""


def heat(share: np.ndarray, image: np.ndarray, strength: float = 0.9) -> np.ndarray:
    """Colour a map from grey (nothing) over yellow to red (1): H x W x 3 in [0, 1].

    Args:
        share: H x W in [0, 1].
        image: H x W x 3 in [0, 1].
        strength: of the colour, from 0 (image alone) to 1.
    """
    share = share[..., None]
    hot = np.concatenate([np.ones_like(share), 0.85 * (1 - share), np.zeros_like(share)], axis=2)  # yellow to red
    return paled(image) * (1 - strength * share) + hot * strength * share


def relative(values: np.ndarray) -> np.ndarray:
    """Return uneven values, none below 0, as multiples of the mean of those above 0; zeros stay."""
    some = values[values > 0]
    return values / some.mean() if some.size else np.zeros_like(values)


def log_share(multiples: np.ndarray) -> np.ndarray:
    """Map multiples of a mean to one logarithmic scale: 0 for 1 / `SPAN` and below, 0.5 for 1, 1 from `SPAN` on."""
    share: np.ndarray = 0.5 + np.log(multiples.clip(1 / SPAN, SPAN)) / (2 * np.log(SPAN))
    return share


def painted(share: np.ndarray, inside: np.ndarray, image: np.ndarray, strength: float = 0.8) -> np.ndarray:
    """Paint a map from violet (0) to light yellow (1) over the picture in grey, bare outside: H x W x 3 in [0, 1].

    Unlike `heat`, for maps that cover most of the picture.

    Args:
        share: H x W in [0, 1].
        inside: where there is anything to see, H x W, bool.
        image: H x W x 3 in [0, 1].
        strength: of the colour, from 0 (image alone) to 1.
    """
    return _blend(inside, image, colormaps["plasma"](share)[..., :3], strength)


def tint(inside: np.ndarray, image: np.ndarray, color: str, strength: float = 0.65) -> np.ndarray:
    """Paint one colour over the picture in grey where `inside` (H x W, bool) is true: H x W x 3 in [0, 1]."""
    return _blend(inside, image, np.array(to_rgb(color)), strength)


def two_signs(share: np.ndarray, image: np.ndarray, colors: tuple[str, str], strength: float = 0.9) -> np.ndarray:
    """Paint a signed map over the picture in grey, the more colour the farther from 0: H x W x 3 in [0, 1].

    Args:
        share: H x W in [-1, 1].
        image: H x W x 3 in [0, 1].
        colors: for values below 0 and for those above.
        strength: of the colour at -1 and 1, from 0 (image alone) to 1.
    """
    below, above = (np.array(to_rgb(color)) for color in colors)
    amount = strength * np.abs(share)[..., None]
    return paled(image) * (1 - amount) + np.where(share[..., None] > 0, above, below) * amount


def _blend(inside: np.ndarray, image: np.ndarray, colors: np.ndarray, strength: float) -> np.ndarray:
    pale = paled(image)
    return np.where(inside[..., None], (1 - strength) * pale + strength * colors, pale)


def paled(image: np.ndarray) -> np.ndarray:
    """Return the picture in light grey: H x W x 3 in [0, 1]."""
    grey: np.ndarray = 0.35 + 0.6 * image.mean(axis=2, keepdims=True)
    return grey.repeat(3, axis=2)
