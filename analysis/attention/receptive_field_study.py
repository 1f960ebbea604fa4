"""Effective receptive fields averaged over the images of a folder.

study = finish(receptive_field_study(models, find_pairs(Path("Kodak24"), None), patch=64, hr=True))
study.fields, study.table
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch

from analysis.attention.receptive_field import (
    ReceptiveField,
    blocks_of,
    check_model,
    contributions,
    extents_table,
    mean_fields,
)
from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import (
    SMALLER,
    ImageLog,
    ImageStep,
    Record,
    Tell,
    check_input_size,
    for_each_image,
    plan_of,
)
from analysis.common.image_windows import middle
from promptsr.data import load_input
from promptsr.data.pairs import PairPaths
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, common_scale


@dataclass(frozen=True, eq=False)
class ReceptiveFieldStudy:
    """Receptive fields of models or layers over the middles of images."""

    fields: tuple[ReceptiveField, ...]
    """Means over the images."""
    table: pd.DataFrame
    """Columns of `extents_table`, and side_low and side_high: the 95 % interval (bootstrap over the images) of the mean
    side of the squares of single images."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""


def receptive_field_study(
    models: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    patch: int = 64,
    depth: bool = False,
    hr: bool = False,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, ReceptiveFieldStudy]:
    """Measure the field of the middle pixel of every image; closing the generator stops the work.

    Args:
        models: of one scale.
        pairs: images; only the first file of each counts.
        patch: side of the middle of an image that the models see, input pixels; smaller images are left out.
        depth: every block of each PromptSR as well.
        hr: the images are HR images and are shrunk first.
        left_out: as in `for_each_image`, like `log` and `ranks`.

    Raises:
        UserError: a model gives no gradients or needs too much memory, or no image could be used.
    """
    scale = common_scale(models)
    if patch < 1:
        raise ConfigError(f"The patch must be 1 pixel or more, not {patch}.")
    layers = [blocks_of(model) if depth and isinstance(model.network, PromptSR) else {} for model in models]
    for model in models:
        check_model(model, patch, patch)

    def work(path: Path, _: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        image = middle(load_input(path, scale, hr), patch)
        maps = []
        for model, blocks in zip(models, layers, strict=True):
            yield at(model.name)
            maps.append(torch.from_numpy(np.stack(list(contributions(model, image, blocks).values()))))
        return {"maps": maps}  # of each model, layers x H x W

    records, skipped = yield from for_each_image(
        pairs,
        partial(check_input_size, scale=scale if hr else 1, least=patch, hint=SMALLER),
        work,
        plan=plan_of(models, kind="receptive field", patch=patch, depth=depth, hr=hr),
        left_out=left_out,
        log=log,
        ranks=ranks,
    )
    fields: list[ReceptiveField] = []
    tables = []
    for number, (model, blocks) in enumerate(zip(models, layers, strict=True)):
        names = [*blocks, "output"]
        images = [dict(zip(names, record["maps"][number].numpy(), strict=True)) for record in records.values()]
        means = mean_fields(model, images)
        fields += means
        single = [extents_table(mean_fields(model, [maps]))["side"] for maps in images]
        intervals = np.array([bootstrap_interval(sides, 0) for sides in np.stack(single, axis=1).astype(float)])
        tables.append(extents_table(means).assign(side_low=intervals[:, 0], side_high=intervals[:, 1]))
    return ReceptiveFieldStudy(tuple(fields), pd.concat(tables, ignore_index=True), skipped)
