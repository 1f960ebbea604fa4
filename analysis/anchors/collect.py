"""Anchor prompts of many images, collected to disk: streaming, resumable, and shared among ranks.

variants = {"trained": model, "untrained": untrained(model, seed=0)}
collected = finish(collect(variants, find_image_set(Path("photos")), Path("collected")))
collected.prompts["trained"].of_image(0)  # n x groups x C
"""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.anchors.image_folders import ImageSet, image_size
from analysis.anchors.store import CollectionStore
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.data import load_pair
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import ConfigError, ImageError, UserError
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, common_scale

_PIXELS = 2**17
"""LR pixels of a batch at most, unless a single image has more: large images go through one by one."""


@dataclass(frozen=True)
class Collecting:
    """Progress of a collection."""

    name: str
    """Name of the image that begins."""
    done: int
    """Images finished, by all ranks and in earlier runs too."""
    total: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Images that could not be used, as far as is known, and why."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """The anchor prompts P of one network for every image, as the layers have them: P has a row for each anchor of the
    padded input, n = HW/d^2 with H and W padded to whole windows and anchors, padding included."""

    model: str
    config: ModelConfig
    rows: np.ndarray
    """All rows x groups x C, float32, in memory-mapped form; image i has rows `offsets[i]` to `offsets[i + 1]`."""
    offsets: np.ndarray
    """Images + 1."""
    grids: np.ndarray
    """H/d and W/d of each image, images x 2."""

    def of_image(self, image: int) -> np.ndarray:
        """n x groups x C."""
        rows: np.ndarray = self.rows[self.offsets[image] : self.offsets[image + 1]]
        return rows


@dataclass(frozen=True, eq=False)
class CollectedPrompts:
    """Result of a collection."""

    images: ImageSet
    prompts: dict[str, Prompts]
    """By variant."""
    block: int | None
    """CPB of each residual group whose prompts these are, from 1; None: the last."""
    skipped: dict[str, str]
    """Images that could not be used, and why; their rows are all 0."""
    seconds: float
    """Wall-clock time of this run, which may have found work done by earlier ones."""

    @property
    def used(self) -> np.ndarray:
        """Indices of the images that were not skipped."""
        return np.array([i for i, file in enumerate(self.images.files) if file not in self.skipped], dtype=np.int64)


def collect(
    variants: Mapping[str, SRModel],
    images: ImageSet,
    folder: Path,
    *,
    block: int | None = None,
    batch: int = 8,
    ranks: Ranks = ALONE,
) -> Generator[Collecting, None, CollectedPrompts]:
    """Run every variant over every image, shrunk bicubically, and keep P of eq. 8 of one CPB of each residual group.

    Consecutive images of one size share a batch. The batches are planned before work starts and are computed whole, so
    that neither a stop and resumption nor the number of ranks changes a bit of the result. Memory does not grow with
    the number of images. However it is stopped, call it again with the same folder to resume.

    Args:
        variants: PromptSR networks of one scale, by a name that can be a file's.
        images: decoded and shrunk once for all variants.
        folder: for the prompts: `<variant>.npy`, `done.npy`, `plan.json`; made if it is missing.
        block: which CPB, from 1; None for the last.
        batch: images in one pass at most.
        ranks: the processes that share the work; each returns the whole.

    Yields:
        Progress, before each pass and at the end.

    Raises:
        UserError: a variant is not a PromptSR with anchor prompting or lacks the block, the folder holds a collection
            of something else or cannot be written, or no image can be used.
    """
    begun = time.perf_counter()
    networks = {name: prompting_network(model, block) for name, model in variants.items()}
    scale = common_scale(list(variants.values()))
    sizes = [(h // scale, w // scale) for h, w in (image_size(images.path(i)) for i in range(len(images.files)))]
    grids = {name: _grids(network.config, sizes) for name, network in networks.items()}
    offsets = {name: np.concatenate([[0], each.prod(1).cumsum()]) for name, each in grids.items()}
    shapes = {name: (int(offsets[name][-1]), n.config.groups, n.config.channels) for name, n in networks.items()}
    if not any(all(size) for size in sizes):
        raise UserError(f"No image in {images.root} can be read at x{scale}: check the files, or give another folder.")
    store = CollectionStore(folder, images.files)

    def load(i: int) -> Tensor | None:
        try:
            return _load(images.path(i), scale, sizes[i])
        except UserError as error:
            store.skip(i, str(error))
            return None

    def progress(name: str) -> Collecting:
        return Collecting(name, int(np.count_nonzero(store.done)), len(sizes), store.skipped())

    if ranks.first:
        store.prepare(networks, shapes, {"scale": scale, "block": block, "batch": batch}, images, sizes)
        for i in np.flatnonzero(store.done == 0).tolist():
            if not all(sizes[i]):  # its header says that it cannot be used
                load(i)
    ranks.barrier()
    done = store.done
    to_do = [indices for indices in _batches(sizes, batch) if not all(done[indices])]
    ranks.barrier()  # all have the same list before the first of it is done
    for indices in to_do[ranks.rank :: ranks.world]:
        lr = {i: image for i in indices if (image := load(i)) is not None}
        if lr:
            inputs = torch.cat(list(lr.values()))
            for name, network in networks.items():
                yield progress(images.files[indices[0]])  # a batch of all networks is long for who wants to stop
                prompts = anchor_prompts(network, inputs.to(variants[name].device), block)
                store.write(name, {int(offsets[name][i]): p for i, p in zip(lr, prompts, strict=True)})
            store.finish(list(lr))
    ranks.barrier()
    yield progress("")
    skipped = store.skipped()
    if len(skipped) == len(sizes):
        raise UserError(f"No image could be used: {next(iter(skipped.values()))}")
    found = {
        name: Prompts(variants[name].name, network.config, store.read(name), offsets[name], grids[name])
        for name, network in networks.items()
    }
    return CollectedPrompts(images, found, block, skipped, time.perf_counter() - begun)


def anchor_prompts(network: PromptSR, inputs: Tensor, block: int | None) -> np.ndarray:
    """Return P of every residual group for LR images, B x 3 x H x W in [0, 1] -> B x n x groups x C, float32."""
    at = (block or network.config.blocks_per_group) - 1
    taps = [f"groups.{g}.blocks.{at}.global_prompting.anchor_prompts" for g in range(network.config.groups)]
    with torch.inference_mode(), record(network, taps) as seen:
        network(inputs)
    return torch.stack([seen[tap] for tap in taps], dim=2).float().cpu().numpy()  # groups of B x n x C


def prompting_network(model: SRModel, block: int | None) -> PromptSR:
    """Return the network of a model that has anchor prompts at this block (from 1; None: the last).

    Raises:
        UserError: the model has no anchor prompts, or not this block.
    """
    network = model.network
    if not isinstance(network, PromptSR) or not network.config.anchor_prompting:
        raise UserError(f"{model.name} has no anchor prompts: choose a PromptSR, such as promptsr-x4.")
    if block is not None and not 1 <= block <= network.config.blocks_per_group:
        raise ConfigError(
            f"{model.name} has {network.config.blocks_per_group} blocks in a residual group: choose a block from 1 to "
            f"{network.config.blocks_per_group}, not {block}."
        )
    return network


def _grids(config: ModelConfig, sizes: list[tuple[int, int]]) -> np.ndarray:
    """Return H/d and W/d of LR images of these sizes, images x 2; 0 for those that cannot be read."""
    padded = [TokenGrid(config, *size).padded if all(size) else (0, 0) for size in sizes]
    return np.array(padded, dtype=np.int64) // config.anchor_stride


def _batches(sizes: list[tuple[int, int]], batch: int) -> list[list[int]]:
    """Group consecutive images of one size, at most `batch` of them and `_PIXELS` pixels together."""
    batches: list[list[int]] = []
    for i, (height, width) in enumerate(sizes):
        room = min(batch, max(1, _PIXELS // max(1, height * width)))
        if batches and sizes[batches[-1][0]] == (height, width) and len(batches[-1]) < room:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _load(path: Path, scale: int, size: tuple[int, int]) -> Tensor:
    """Return the LR version of an image, 1 x 3 x H x W in [0, 1]; refuse one whose size is not the planned one."""
    _, lr = load_pair(path, scale)
    if tuple(lr.shape[2:]) != size:
        raise ImageError(f"{path.name} has pixels that do not fit its header; export it again.")
    return lr
