"""Ablations as the paper makes them: networks trained without some of what the whole network has.

Every row is trained with equal steps, data and crops, several times with different seeds, so that a difference between
rows can be told from the spread between seeds. The weights after the last step are measured; none are chosen.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

from analysis.ablations.networks import TABLE_IV, row_config
from promptsr.config import ModelConfig
from promptsr.data.cache import ImagesRead
from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.measure import Measuring, measure
from promptsr.evaluation.score_log import ScoreLog
from promptsr.paper.tables import published_value
from promptsr.support.errors import ConfigError
from promptsr.support.progress import map_progress
from promptsr.training import Recipe, TrainReport, train
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

PAPERS_SETS = ("Urban100", "Manga109")
"""Benchmark sets of the paper's ablations."""


@dataclass(frozen=True)
class AblationRow:
    """One line of Table IV or VI."""

    table: str
    method: str
    """As `promptsr.paper.tables` calls it."""
    name: str
    """Name of its folder."""
    preset: str | None = None
    """The preset with its promptings; None: all of them."""
    prompt_update: float | None = None
    """alpha; None: that of the recipe."""

    def config(self, whole: ModelConfig) -> ModelConfig:
        """Return the network of this row, of the size of the whole network."""
        config = whole if self.preset is None else row_config(whole, self.preset)
        return config if self.prompt_update is None else replace(config, prompt_update=self.prompt_update)

    def printed(self, dataset: str) -> float | None:
        """Return the PSNR-Y in dB that the paper prints, for its larger networks."""
        return published_value(self.table, self.method, "psnr_y", dataset)


_IV = ("windows only", "anchor", "anchor+coarse", "anchor+coarse+fine")
ROWS = (
    *(AblationRow("IV", m, p.removeprefix("ablation-"), preset=p) for m, p in zip(_IV, TABLE_IV, strict=True)),
    AblationRow("VI", "alpha=0", "alpha-0", prompt_update=0.0),
    AblationRow("VI", "alpha=0.1", "alpha-0.1", prompt_update=0.1),
)
"""The rows of both tables; alpha = 0.01 is the last row of Table IV."""
WHOLE = ROWS[len(_IV) - 1]


def chosen_rows(names: Sequence[str]) -> tuple[AblationRow, ...]:
    """Return the rows of these names, and the whole network, to which they are compared; all for none.

    Raises:
        ConfigError: there is no such row.
    """
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"There is no row {unknown[0]!r}: choose from {', '.join(known)}.")
    return tuple(row for row in ROWS if not names or row.name in names or row == WHOLE)


@dataclass(frozen=True)
class Ablation:
    """Outcome of a row."""

    row: AblationRow
    parameters: int
    scores: dict[str, list[float]]
    """PSNR-Y in dB on each set, by seed."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Images that could not be measured, with their set, and why."""


@dataclass(frozen=True)
class AblationStep:
    """Progress of the study."""

    run: str
    """Row and seed."""
    done: int
    """Runs that are finished."""
    total: int
    step: ImagesRead | TrainReport | Measuring


def train_ablations(
    recipe: Recipe, sets: Sequence[BenchmarkSet], out: Path, seeds: Sequence[int], rows: Sequence[AblationRow] = ROWS
) -> Generator[AblationStep, None, list[Ablation]]:
    """Train and measure every row with every seed; a stopped study is resumed.

    Args:
        recipe: of every run; its network is the whole one, its seed is not used.
        sets: to measure on.
        out: folder with a folder of a run for each row and seed; and the scores.
        seeds: of the weights and of the crops.
        rows: to train, the whole network among them.

    Raises:
        UserError: as `promptsr.training.train` and `promptsr.evaluation.measure.measure`.
    """
    if WHOLE not in rows or WHOLE.config(recipe.model) != recipe.model:
        raise ConfigError("The recipe of an ablation has the whole network: leave its promptings switched on.")
    plan = [(row, seed) for row in rows for seed in seeds]
    models: dict[tuple[AblationRow, int], SRModel] = {}
    for done, (row, seed) in enumerate(plan):
        name = f"{row.name}-seed-{seed}"
        own = replace(recipe, model=row.config(recipe.model), seed=seed)
        yield from map_progress(train(own, out / name, resume=True), partial(AblationStep, name, done, len(plan)))
        models[row, seed] = replace(load_model(out / name / "final.safetensors"), name=name)
    log = ScoreLog(out / "scores", 0)
    measured = yield from map_progress(
        measure(list(models.values()), sets, log=log), lambda step: AblationStep(step.model, len(plan), len(plan), step)
    )
    found = dict(zip(plan, measured, strict=True))
    ablations = []
    for row in rows:
        runs = [found[row, seed] for seed in seeds]
        scores = {each.name: [run.sets[each.name].psnr_y for run in runs] for each in sets}
        lost = ((name, image) for run in runs for name, each in run.sets.items() for image in each.left_out)
        left_out = {f"{name}: {image.name}": image.reason for name, image in lost}
        ablations.append(Ablation(row, runs[0].parameters, scores, left_out))
    return ablations


def table(ablations: Sequence[Ablation]) -> list[dict[str, str]]:
    """Return a line for each row: the measured mean and spread in dB, the difference to the whole network trained with
    the same seeds (mean and spread of the differences), and what the paper prints."""
    whole = next(ablation for ablation in ablations if ablation.row == WHOLE)
    lines = []
    for ablation in ablations:
        line = {"row": ablation.row.method, "table": ablation.row.table, "parameters": f"{ablation.parameters:,}"}
        for name, scores in ablation.scores.items():
            line[name] = f"{fmean(scores):.3f} ± {_spread(scores):.3f}"
            gaps = [score - other for score, other in zip(scores, whole.scores[name], strict=True)]
            line[f"{name}, difference"] = "" if ablation is whole else f"{fmean(gaps):+.3f} ± {_spread(gaps):.3f}"
        for name in PAPERS_SETS:
            printed, papers_whole = ablation.row.printed(name), WHOLE.printed(name)
            assert printed is not None and papers_whole is not None  # both tables are clear
            line[f"paper, {name}"] = f"{printed:.2f}"
            line[f"paper, {name}, difference"] = "" if ablation is whole else f"{printed - papers_whole:+.2f}"
        lines.append(line)
    return lines


def _spread(values: Sequence[float]) -> float:
    """Return the standard deviation between seeds; 0 for a single one."""
    return stdev(values) if len(values) > 1 else 0.0
