"""Materials for measuring the paper: models, images, sizes of the studies, and the folder that keeps the results."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from analysis.ablations.networks import fresh, promptsr_of, trained_ablations
from analysis.common.each_image import plan_of
from analysis.common.samples import write_crops, write_samples
from analysis.complexity.table_one import method_of
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths, find_pairs
from promptsr.evaluation.benchmark_sets import BenchmarkSet, find_sets
from promptsr.imaging.folders import search_images
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import digest
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.default import BEST
from promptsr.zoo.listing import first_opponent, list_models
from promptsr.zoo.load import load_models
from promptsr.zoo.sr_model import SRModel

SCALE = 4
"""Scale of all figures, and of all tables but Table I."""
UNTRAINED = "untrained"
_FULL = ("PromptSR", "PromptSR*")


@dataclass(frozen=True)
class Sizes:
    """Sizes of the studies. Lengths of photographs and windows in output pixels, of patches in input pixels."""

    photographs: int
    """Sample photographs at most."""
    photograph: int
    """Their longest side."""
    crops: int
    """Crops of each, for the study of anchor prompts."""
    crop: int
    """Their side."""
    window: int
    """Side of the windows that are attributed."""
    case: int
    """Side of the windows that are compared and searched for failures."""
    patch: int
    steps: int
    """From the blurred image to the sharp one."""
    per_image: int
    """Windows of a photograph that are attributed."""
    perplexity: float
    permutations: int
    pixels: int
    """Pixels that stand for a photograph in the study over depth."""
    scales: tuple[int, ...]
    """Scales of Table I."""
    peers: bool
    """Count the networks of others, and measure costs on large images, too."""


FULL = Sizes(6, 512, 40, 128, 16, 64, 64, 10, 2, 30.0, 999, 16, (2, 3, 4), True)
QUICK = Sizes(2, 96, 3, 64, 8, 24, 16, 1, 1, 3.0, 99, 2, (4,), False)


@dataclass(frozen=True, eq=False)
class Materials:
    """All that the entries are measured with."""

    model: SRModel
    """A PromptSR."""
    against: tuple[SRModel, ...]
    control: SRModel
    """The same network with untrained weights, see `twin`."""
    series: tuple[SRModel, ...]
    """Networks trained with more and more promptings, see `trained_ablations`; may be empty."""
    names: tuple[str, ...]
    """Model and opponents as they are typed."""
    photographs: Path
    categories: Path | None
    """Folder of category folders; None: the crops of the samples."""
    bench: Path | None
    sets: tuple[BenchmarkSet, ...]
    """Those in `bench`."""
    ablations: Path | None
    """Output of `python -m analysis ablate`."""
    out: Path
    sizes: Sizes

    @property
    def models(self) -> list[SRModel]:
        """Return the model, its control and the opponents."""
        return [self.model, self.control, *self.against]

    @property
    def checkpoint(self) -> Path:
        """Return the file of the control."""
        return self.out / f"{UNTRAINED}.safetensors"

    @property
    def crops(self) -> Path:
        """Return the folder of category folders that the anchor prompts are studied on."""
        return self.categories or self.out / "crops"

    def find_set(self, name: str) -> BenchmarkSet | None:
        """Return a benchmark set; None if it is not here."""
        return next((each for each in self.sets if each.name == name), None)

    def pairs(self, name: str) -> list[PairPaths]:
        """Return the images of a benchmark set, or the photographs where it is not here."""
        found = self.find_set(name)
        return found.pairs if found else find_pairs(self.photographs, None)

    def photograph(self, number: int = 0, name: str = "") -> tuple[str, Tensor, Tensor]:
        """Return name, HR and LR of an image of a set, or of the photographs where it is not here.

        HR is 1 x 3 x sH x sW in [0, 1], LR 1 x 3 x H x W.
        """
        pairs = self.pairs(name)
        hr, lr = pairs[number % len(pairs)]
        return hr.stem, *load_pair(hr, SCALE, lr)

    def missing(self, sets: Sequence[str] = (), methods: Sequence[str] = (), full: bool = True) -> list[str]:
        """Return what is not here of benchmark sets, weights of other methods, and those of the paper's network."""
        known = {self.method(model) for model in self.against}
        absent = [name for name in methods if name not in known]
        return [
            *(name for name in sets if self.find_set(name) is None),
            *(
                ["trained weights of the full network (--model)"]
                if full and self.method(self.model) not in _FULL
                else []
            ),
            *([f"weights of {' and '.join(absent)} (--against)"] if absent else []),
        ]

    @cached_property
    def plans(self) -> dict[str, str]:
        """Return a hash of each material that entries depend on, by name; images by name and content."""
        folders = {"photographs": self.photographs, "categories": self.crops}
        images = {name: search_images(folder, recursive=True).images for name, folder in folders.items()}
        return {
            "model": plan_of([self.model]),
            "against": plan_of(self.against),
            "series": plan_of(self.series),
            "sizes": plan_of([], **asdict(self.sizes)),
            "bench": _hash([path for each in self.sets for pair in each.pairs for path in pair if path]),
            "ablations": _hash(sorted(self.ablations.glob("*.csv"))) if self.ablations else "",
            **{name: _hash(paths) for name, paths in images.items()},
        }

    @staticmethod
    def method(model: SRModel) -> str:
        """Return what the paper calls a model; empty if it does not have it."""
        return method_of(model.architecture, model.parameters, model.scale)


def prepare(
    out: Path,
    *,
    model: str = BEST,
    against: Sequence[str] = (),
    photographs: Path | None = None,
    categories: Path | None = None,
    bench: Path | None = None,
    ablations: Path | None = None,
    quick: bool = False,
) -> Materials:
    """Load the models, and write the samples and the untrained network to `out` where they are needed.

    Args:
        out: folder of all results.
        model: a PromptSR for x4.
        against: other models for x4; by default the largest network of another architecture that is here, or bicubic.
        photographs: folder of HR images; the bundled samples by default.
        categories: folder of category folders; crops of the samples by default.
        bench: folder of benchmark sets, see `promptsr.evaluation.benchmark_sets.find_sets`.
        ablations: output folder of `python -m analysis ablate`.
        quick: tiny studies, for a test.

    Raises:
        UserError: a model cannot be loaded, is no PromptSR or not for x4, or a folder is not there.
    """
    sizes = QUICK if quick else FULL
    if not against:
        peers = (each for each in list_models() if each.architecture != "PromptSR")
        against = [first_opponent(peers, SCALE, (), "PromptSR")]
    names = (model, *against)
    own, *others = load_models(names)
    for each in (own, *others):
        if each.scale != SCALE:
            raise ConfigError(f"{each.name} enlarges x{each.scale}, and the paper's figures are of x4: choose another.")
    for folder in (photographs, categories, bench, ablations):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give another one.")
    if photographs is None:
        photographs = out / "samples"
        for path in write_samples(photographs, sizes.photograph)[sizes.photographs :]:
            path.unlink()
    if categories is None:
        write_crops(out / "crops", sizes.crops, sizes.crop)
    control = twin(own, UNTRAINED)
    sets = tuple(find_sets(bench, [], SCALE)) if bench else ()
    materials = Materials(
        own,
        tuple(others),
        control,
        tuple(trained_ablations(SCALE)),
        names,
        photographs,
        categories,
        bench,
        sets,
        ablations,
        out,
        sizes,
    )
    save_checkpoint(materials.checkpoint, promptsr_of(control).config, control.network.state_dict(), {})
    return materials


def twin(model: SRModel, name: str) -> SRModel:
    """Return a PromptSR with untrained weights in place of its own.

    It has no bicubic skip, to which an untrained network adds nothing.

    Raises:
        UserError: the model is no PromptSR.
    """
    return replace(model, name=name, network=fresh(replace(promptsr_of(model).config, bicubic_skip=False)))


def _hash(files: Sequence[Path]) -> str:
    """Return a hash of names, with those of their folders, and contents of files."""
    content = [("/".join(path.parts[-2:]), digest(path)) for path in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
