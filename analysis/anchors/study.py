"""Separation of anchor prompts by residual group and image category: trained, untrained, and without their update.

model, images = load_model("promptsr-x4"), find_image_set(Path("categories"))
collected = finish(collect_variants(model, images, Path("out/collected")))
result = finish(analyse(collected))
result.to_dict(), result.points["trained"], result.planes
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ablations.networks import alpha_series, untrained, update_off
from analysis.anchors.collect import CollectedPrompts, Collecting, collect, prompting_network
from analysis.anchors.embedding import PERPLEXITY, Planes, check_perplexity, embed, separate_planes
from analysis.anchors.findings import findings
from analysis.anchors.image_folders import ImageSet
from analysis.anchors.points import LIMIT, Points, check_way, make_points
from analysis.anchors.separation import NEIGHBOURS, PERMUTATIONS, Separation, Separations, separate
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel

TRAINED, UNTRAINED, UPDATE_OFF = "trained", "untrained", "update_off"
_ALPHA = "alpha_"
_DRAWS = 3
"""Draws of untrained weights, so that no claim depends on a single one."""


@dataclass(frozen=True)
class Stage:
    """Progress of the analysis."""

    name: str
    done: int
    """Stages finished."""
    total: int


@dataclass(frozen=True, eq=False)
class AnchorStudy:
    """Result of a study. Variants are "trained", "untrained" (the control; further draws are "untrained_2" and so on),
    "update_off", and "alpha_<alpha>" for networks trained with other alphas of eq. 8, if there are any."""

    model: str
    scale: int
    way: str
    """As in `make_points`."""
    block: int | None
    """As in `CollectedPrompts`."""
    k: int
    permutations: int
    seed: int
    points: dict[str, Points]
    """By variant."""
    features: dict[str, Separations]
    """Separations of the standardised features, by variant."""
    planes: Planes
    """t-SNE of the trained network."""
    plane: Separations
    """Separations in those planes."""
    update_change: tuple[float, ...]
    """Relative change of the points of each group when the update is switched off: Frobenius norm of the difference
    over that of the points."""
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
    def answers(self) -> dict[str, dict[str, Separation]]:
        """The separations by variant, for each question; a network of fewer groups has fewer answers."""
        found = {name: self.features[name].by_question for name in self.shown}
        return {
            question: {name: answers[question] for name, answers in found.items() if question in answers}
            for question in found[TRAINED]
        }

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


def check_settings(images: ImageSet, *, way: str, perplexity: float, k: int) -> None:
    """Refuse early what `analyse` would refuse after the prompts were collected.

    Raises:
        ConfigError: a setting that no number of usable images would allow.
    """
    count = len(images.files)
    check_way(way)
    if way == "anchors":
        return  # an image makes many points
    check_perplexity(perplexity, count)
    if k >= count:
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
    """Collect the prompts of a network, of its variants, and of the networks of `alpha_series` that have the block.

    A second call with the same arguments finds everything in `folder`. Further arguments and errors as in `collect`.

    Args:
        model: any PromptSR with anchor prompting.
        images: by category.
        folder: as in `collect`.
        seed: of the untrained weights; further draws take the numbers after it.
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
    """Make points of collected prompts, lay out those of the trained network, and measure all variants.

    Args:
        collected: by `collect_variants`.
        way: how images become points, see `make_points`, as for `limit`.
        perplexity: of t-SNE.
        k: neighbours that vote, see `separation`.
        permutations: of the labels, see `separation`.
        seed: of the draw of points, the permutations and t-SNE.

    Yields:
        The stage that begins.

    Raises:
        UserError: too few images, or impossible settings.
    """
    prompts = collected.prompts
    groups = prompts[TRAINED].config.groups
    total = 1 + (1 + groups) + len(prompts) + 1
    stages = iter(range(total + 1))

    def begin(name: str) -> Stage:
        return Stage(name, next(stages), total)

    times = [time.perf_counter()]
    yield begin("points")
    points = {name: make_points(collected, name, way, limit=limit, seed=seed) for name in prompts}
    times.append(time.perf_counter())
    planes = yield from map_progress(embed(points[TRAINED], perplexity, seed), begin)
    times.append(time.perf_counter())
    features = {}
    for name in prompts:
        yield begin(f"numbers of {prompts[name].model}")
        features[name] = separate(points[name], k=k, permutations=permutations, seed=seed)
    times.append(time.perf_counter())
    yield begin("numbers in the plane")
    plane = separate_planes(points[TRAINED], planes, k=k, permutations=permutations, seed=seed)
    times.append(time.perf_counter())
    seconds = dict(zip(("points", "embed", "numbers", "plane"), np.diff(times).tolist(), strict=True))
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
        seconds={"collect": collected.seconds, **seconds},
    )


def _change(changed: np.ndarray, features: np.ndarray) -> tuple[float, ...]:
    """Return the relative norm of the change by group, for groups x N x F each."""
    change = np.linalg.norm(changed.astype(np.float64) - features, axis=(1, 2))
    return tuple((change / np.linalg.norm(features.astype(np.float64), axis=(1, 2))).tolist())
