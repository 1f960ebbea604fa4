"""Result of a search for failures: the windows where a model loses most to others, and its balance over all."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, luma_error
from analysis.failures.texture import Kind, Texture, error_by_texture
from promptsr.imaging.picture import to_color
from promptsr.imaging.resize import upscale
from promptsr.support.files import finite

FLOOR = 4.0
"""Squared grey levels added to every error: errors below 2 grey levels (42 dB) cannot be seen, and their ratio means
nothing."""
LEAST_LOSS = 0.1
"""dB; a smaller difference is a draw."""

Errors = TypeVar("Errors", np.ndarray, pd.Series)


def loss_db(model: Errors, other: Errors) -> Errors:
    """Return by how many dB one mean squared error exceeds another, with `FLOOR` added to both."""
    return 10 * np.log10((model + FLOOR) / (other + FLOOR))


@dataclass(frozen=True, eq=False)
class Case:
    """A window where the model loses. Lengths in HR pixels."""

    image: str
    """File name."""
    x: int
    y: int
    window: int
    """Side of the square whose top-left corner is (x, y)."""
    kind: Kind
    loss_db: float
    """Excess of the squared error on Y over that of `against`, in dB, with `FLOOR` added to both."""
    against: str
    """The best of the other models in this window."""
    psnr_y: dict[str, float]
    """dB, of the window, by model."""
    ssim_y: dict[str, float]
    missing: float
    """Squared grey levels of HR detail that the model lacks beyond what `against` lacks."""
    invented: float
    """Squared grey levels of detail that the model adds beyond what `against` adds."""
    high_frequency_db: float
    """Energy of the model's detail against that of the HR image."""
    texture: Texture
    surroundings: Comparison
    """The images of all models, cut to the neighbourhood of the window; the scores in it are those of whole images."""
    inset: Region
    """The window within `surroundings`."""

    @property
    def hr(self) -> Tensor:
        """The HR image of the surroundings: 1 x 3 x H x W in [0, 1]."""
        assert self.surroundings.hr is not None
        return self.surroundings.hr

    @property
    def crops(self) -> dict[str, np.ndarray]:
        """The window as HR, as the LR image enlarged ("LR bicubic") and by model: window x window x 3, uint8."""
        near = self.surroundings
        images = {"HR": self.hr, "LR bicubic": upscale(near.lr, near.scale)}
        images |= {result.model: result.sr for result in near.results}
        return {name: to_color(self.inset.crop(image)) for name, image in images.items()}

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """SR minus HR on Y in grey levels, by model: window x window."""
        crop, near = self.inset.crop, self.surroundings
        hr = crop(self.hr)
        return {result.model: luma_error(crop(result.sr), hr).numpy() for result in near.results}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pictures; None for an infinite PSNR."""
        values = {name: value for name, value in vars(self).items() if name not in ("surroundings", "inset")}
        plain: dict[str, Any] = finite({**values, "texture": asdict(self.texture)})
        return plain


@dataclass(frozen=True, eq=False)
class FailureStudy:
    """Result of a search."""

    model: str
    against: tuple[str, ...]
    scale: int
    window: int
    stride: int
    cases: tuple[Case, ...]
    """The greatest loss first."""
    scores: pd.DataFrame
    """A row per image: image, and for every model `psnr_y <model>` and `ssim_y <model>` of the whole image."""
    windows: pd.DataFrame
    """A row per window of a grid without overlap: image, x, y, texture (see `Texture.gradient`), `mse <model>`."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""

    @property
    def models(self) -> tuple[str, ...]:
        return self.model, *self.against

    @property
    def images(self) -> int:
        """Number of images searched."""
        return len(self.scores)

    def mean(self, metric: str) -> dict[str, float]:
        """Return the mean `psnr_y` or `ssim_y` over the images, by model.

        That of `psnr_y` leaves out `perfect` images; it is infinite if all are.
        """
        means = {}
        for model in self.models:
            values = self.scores[f"{metric} {model}"]
            rest = values[~np.isinf(values)]
            means[model] = float(rest.mean()) if len(rest) else np.inf
        return means

    @property
    def perfect(self) -> dict[str, int]:
        """Number of images without any error, whose PSNR is infinite, by model."""
        return {model: int(np.isinf(self.scores[f"psnr_y {model}"]).sum()) for model in self.models}

    @cached_property
    def texture(self) -> pd.DataFrame:
        """Error against texture complexity, see `error_by_texture`."""
        return error_by_texture(self.windows, self.models)

    @cached_property
    def balance(self) -> pd.DataFrame:
        """Windows lost to each opponent and won from it by at least `LEAST_LOSS`: opponent, lost, lost_db (mean), won,
        won_db, drawn. NaN dB without such windows."""
        rows = []
        for name in self.against:
            loss = loss_db(self.windows[f"mse {self.model}"], self.windows[f"mse {name}"])
            lost, won = loss[loss > LEAST_LOSS], -loss[loss < -LEAST_LOSS]
            drawn = len(loss) - len(lost) - len(won)
            rows.append((name, len(lost), lost.mean(), len(won), won.mean(), drawn))
        return pd.DataFrame(rows, columns=["opponent", "lost", "lost_db", "won", "won_db", "drawn"])

    @property
    def good_news(self) -> str:
        """Sentence about a search without cases, with what to try next."""
        return (
            f"Good news: {self.model} loses no window to {' or '.join(self.against)} by more than {LEAST_LOSS} dB: "
            "there is no failure to show. To find weaknesses, choose stronger opponents (`promptsr fetch` downloads "
            "some), more photographs or smaller windows."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for numbers that are not finite."""
        names = ("model", "scale", "window", "stride", "images", "perfect", "skipped")
        values = {
            **{name: getattr(self, name) for name in names},
            "against": list(self.against),
            "psnr_y": self.mean("psnr_y"),
            "ssim_y": self.mean("ssim_y"),
            "balance": self.balance.to_dict("records"),
            "cases": [case.to_dict() for case in self.cases],
        }
        plain: dict[str, Any] = finite(values)
        return plain
