"""Separation of anchor prompts by residual group and image category: trained, untrained, and without their update.

model, images = load_model("promptsr-tiny-x4"), find_image_set(Path("categories"))
collected = finish(collect_variants(model, images, Path("out/collected")))
result = finish(analyse(collected))
result.to_dict(), result.points["trained"], result.planes
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from analysis.ablations.networks import alpha_series, untrained, update_off
from analysis.anchors.collect import CollectedPrompts, Collecting, collect, prompting_network
from analysis.anchors.embedding import PERPLEXITY, Planes, embed, separate_planes
from analysis.anchors.findings import findings
from analysis.anchors.image_folders import ImageSet
from analysis.anchors.points import LIMIT, Points, Way, make_points
from analysis.anchors.separation import NEIGHBOURS, PERMUTATIONS, Separations, separate
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel

TRAINED, UNTRAINED, UPDATE_OFF = "trained", "untrained", "update_off"
_ALPHA = "alpha_"
_DRAWS = 3
"""Of untrained weights: what a claim is held against should not hang on one of them."""


@dataclass(frozen=True)
class Stage:
    """How far the analysis is."""

    name: str
    done: int
    """Stages finished."""
    total: int


@dataclass(frozen=True, eq=False)
class AnchorStudy:
    """Result of a study. Variants are "trained", "untrained" (the control; further draws are
    "untrained_2" and so on), "update_off", and "alpha_<alpha>" for
    networks trained with other alphas of eq. 8, if there are any."""

    model: str
    scale: int
    way: str
    """How images became points, see `make_points`."""
    block: int | None
    """As in `CollectedPrompts`."""
    k: int
    permutations: int
    seed: int
    points: dict[str, Points]
    """By variant."""
    features: dict[str, Separations]
    """Of the standardised features, by variant."""
    planes: Planes
    """Of the trained network."""
    plane: Separations
    """The same numbers in those planes."""
    update_change: tuple[float, ...]
    """By how much switching the update off changes the points of each group: Frobenius norm of the difference over
    that of the points."""
    alphas: tuple[tuple[str, float, str], ...]
    """Networks trained with several alphas, the smallest first: model, alpha, variant."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""
    seconds: dict[str, float]
    """Wall-clock time of this run by stage."""

    @property
    def findings(self) -> list[str]:
        """The numbers in sentences."""
        alphas = [(alpha, self.features[variant]) for _, alpha, variant in self.alphas]
        return findings(self.features[TRAINED], self._controls, self.features[UPDATE_OFF], alphas)

    @property
    def shown(self) -> list[str]:
        """The variants of a table for people: one draw of untrained weights stands for all."""
        return [name for name in self.features if name == UNTRAINED or not name.startswith(UNTRAINED)]

    @property
    def _controls(self) -> list[Separations]:
        return [found for name, found in self.features.items() if name.startswith(UNTRAINED)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("model", "scale", "way", "block", "k", "permutations", "seed", "skipped", "seconds", "findings")
        return {
            "images": len(self.points[TRAINED].files),
            "space": "features",
            **{name: getattr(self, name) for name in names},
            "perplexity": self.planes.perplexity,
            **self.features[TRAINED].to_dict(),
            "control_untrained": self.features[UNTRAINED].to_dict(),
            "control_draws": [found.to_dict() for found in self._controls],
            "update_off": self.features[UPDATE_OFF].to_dict(),
            "update_change": list(self.update_change),
            "plane": self.plane.to_dict(),
            "alphas": [
                {"model": model, "alpha": alpha, **self.features[variant].to_dict()}
                for model, alpha, variant in self.alphas
            ],
        }


def check_settings(images: ImageSet, *, way: str, perplexity: float, k: int, permutations: int) -> None:
    """Refuses early what `analyse` would refuse after the prompts were collected.

    Raises:
        ConfigError: a setting that no number of usable images would allow.
    """
    count = len(images.files)
    if way not in get_args(Way):
        raise ConfigError(f"An image becomes points by {', '.join(get_args(Way))}, not by {way!r}.")
    if way != "anchors" and not 1 <= perplexity < count:
        raise ConfigError(
            f"The perplexity must be from 1 to {count - 1}, one less than the images, not {perplexity:g}: choose "
            "another, or take more images."
        )
    if k < 1 or permutations < 1:
        raise ConfigError(f"k and permutations must be 1 or more, not {k} and {permutations}.")
    if way != "anchors" and k >= count:
        raise ConfigError(f"{count} images have no {k} neighbours each: choose a smaller k, or take more images.")


def collect_variants(
    model: SRModel,
    images: ImageSet,
    folder: Path,
    *,
    block: int | None = None,
    batch: int = 8,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> Generator[Collecting, None, CollectedPrompts]:
    """Collects the prompts of a network, of its variants, and of the networks of `alpha_series` that have the block.

    Args:
        model: any PromptSR with anchor prompting.
        images: by category.
        folder: as in `collect`; a second call with the same arguments finds everything there.
        block: as in `collect`.
        batch: as in `collect`.
        seed: of the untrained weights; further draws take the numbers after it.
        ranks: as in `collect`.

    Raises:
        UserError: as `collect`.
    """
    prompting_network(model, block)  # refuses others
    variants = {TRAINED: model, UNTRAINED: untrained(model, seed), UPDATE_OFF: update_off(model)}
    for draw in range(2, _DRAWS + 1):
        variants[f"{UNTRAINED}_{draw}"] = untrained(model, seed + draw - 1)
    for other in alpha_series(model.scale):
        assert isinstance(other.network, PromptSR)
        config = other.network.config
        if block is None or block <= config.blocks_per_group:
            variants[f"{_ALPHA}{config.prompt_update:g}"] = other.to(model.device)
    return collect(variants, images, folder, block=block, batch=batch, ranks=ranks)


def analyse(
    collected: CollectedPrompts,
    *,
    way: str = "mean",
    perplexity: float = PERPLEXITY,
    k: int = NEIGHBOURS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    limit: int = LIMIT,
) -> Generator[Stage, None, AnchorStudy]:
    """Makes points of collected prompts, lays out those of the trained network, and measures all variants.

    Args:
        collected: by `collect_variants`.
        way: how images become points, see `make_points`.
        perplexity: of t-SNE.
        k: neighbours that vote, see `separation`.
        permutations: of the labels, see `separation`.
        seed: of the draw of points, the permutations and t-SNE.
        limit: as in `make_points`.

    Yields:
        The stage that begins.

    Raises:
        UserError: too few images, or impossible settings.
    """
    seconds = {"collect": collected.seconds}
    prompts = collected.prompts
    groups = prompts[TRAINED].config.groups
    total = 1 + 3 * (groups + 1) + len(prompts) + 1
    stages = iter(range(total + 1))

    def begin(name: str) -> Stage:
        return Stage(name, next(stages), total)

    begun = time.perf_counter()
    yield begin("points")
    points = {name: make_points(collected, name, way, limit=limit, seed=seed) for name in prompts}
    begun = _clock(seconds, "points", begun)
    planes = yield from map_progress(embed(points[TRAINED], perplexity, seed), begin)
    begun = _clock(seconds, "embed", begun)
    features = {}
    for name in prompts:
        yield begin(f"numbers of {prompts[name].model}")
        features[name] = separate(points[name], k=k, permutations=permutations, seed=seed)
    begun = _clock(seconds, "numbers", begun)
    yield begin("numbers in the plane")
    plane = separate_planes(points[TRAINED], planes, k=k, permutations=permutations, seed=seed)
    _clock(seconds, "plane", begun)
    return AnchorStudy(
        model=prompts[TRAINED].model,
        scale=prompts[TRAINED].config.scale,
        way=way,
        block=collected.block,
        k=k,
        permutations=permutations,
        seed=seed,
        points=points,
        features=features,
        planes=planes,
        plane=plane,
        update_change=_change(points[UPDATE_OFF].features, points[TRAINED].features),
        alphas=tuple(
            (found.model, found.config.prompt_update, name)
            for name, found in prompts.items()
            if name.startswith(_ALPHA)
        ),
        skipped=collected.skipped,
        seconds=seconds,
    )


def _clock(seconds: dict[str, float], stage: str, begun: float) -> float:
    """Notes how long a stage took; the time at which the next one begins."""
    now = time.perf_counter()
    seconds[stage] = now - begun
    return now


def _change(changed: np.ndarray, features: np.ndarray) -> tuple[float, ...]:
    """Return the relative norm of the change by group, for groups x N x F each."""
    return tuple(
        float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))
        for a, b in zip(changed, features, strict=True)
    )
