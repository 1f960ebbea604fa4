"""Trainings of a very small network on a few images made for them."""

import csv
import json
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.data.cache import ImagesRead
from promptsr.support.progress import finish
from promptsr.training import Outcome, Recipe, TrainReport, train
from promptsr.zoo.checkpoints import load_checkpoint

SMALL = ModelConfig(
    scale=2, channels=8, groups=1, blocks_per_group=2, anchor_stride=2, window_size=4, category_size=16, heads=2
)


@dataclass(frozen=True)
class Trial:
    """A run of twelve steps that saves its state after every fourth."""

    images: Path
    """Holds the folders train and val."""
    output: Path
    model: ModelConfig = SMALL
    STILL: ClassVar[dict[str, Any]] = {"steps": 1, "lr": 0.0, "matrix_lr": 0.0, "validation": None}
    """Settings of a training that leaves the weights as they are."""

    def recipe(self, **changes: Any) -> Recipe:
        recipe = Recipe(
            data=(str(self.images / "train"),),
            model=self.model,
            validation=str(self.images / "val"),
            steps=12,
            batch=2,
            patch=8,
            warmup=2,
            ema=0.9,
            device="cpu",
            cache=str(self.images / "cache"),
            report_every=1,
            validate_every=4,
        )
        return replace(recipe, **changes)

    def recipe_file(self, path: Path, **changes: Any) -> Path:
        """The same as a file."""
        path.write_text(json.dumps(asdict(self.recipe(**changes))))  # JSON is YAML
        return path

    def start(self, *, resume: bool = True, **changes: Any) -> Generator[TrainReport, None, Outcome]:
        run = train(self.recipe(**changes), self.output, resume=resume)
        while True:
            try:
                step = next(run)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if not isinstance(step, ImagesRead):
                yield step

    def stop_after(self, step: int, **changes: Any) -> None:
        """Runs up to a step and gives up there."""
        run = self.start(**changes)
        while next(run).step < step:
            pass
        run.close()

    def finish(self, **changes: Any) -> tuple[list[TrainReport], Outcome]:
        """Runs to the end: all reports, and what the run returns."""
        reports: list[TrainReport] = []
        return reports, finish(self.start(**changes), reports.append)

    def beside(self, name: str, **changes: Any) -> "Trial":
        """Another run, in a folder beside this one."""
        return replace(self, output=self.output.with_name(name), **changes)

    @property
    def log(self) -> list[dict[str, str]]:
        """The rows of log.csv, as far as they are written."""
        path = self.output / "log.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []

    def wait(self, process: Popen[str], step: int) -> None:
        """Wait until a process that trains has logged a step."""
        end = time.monotonic() + 120
        while not self.log or int(self.log[-1]["step"]) < step:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.01)

    @property
    def last(self) -> dict[str, Any]:
        """The saved state."""
        state: dict[str, Any] = torch.load(self.output / "last.ckpt", weights_only=True)
        return state

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The weights in a file of the output folder."""
        return load_checkpoint(self.output / name).state_dict()

    @staticmethod
    def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
        """Bit for bit."""
        return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def write_images(folder: Path, count: int, seed: int) -> None:
    """Smooth random colours with hard edges in them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        pixels = np.array(small.resize((56, 48), Image.Resampling.BICUBIC))
        pixels[rng.integers(10, 40) :, rng.integers(10, 40) :] //= 2
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture(scope="session")
def training_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images to train on, two to validate on."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "train", 3, 0)
    write_images(folder / "val", 2, 1)
    return folder


@pytest.fixture
def trial(training_images: Path, tmp_path: Path) -> Trial:
    """A run whose output folder does not exist yet."""
    return Trial(training_images, tmp_path / "out")
