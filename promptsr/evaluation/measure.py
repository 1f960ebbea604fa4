"""Several models over several sets: shared among ranks, and resumed from logged scores."""

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import Evaluation, ImageScore, score_pair
from promptsr.evaluation.score_log import ScoreLog
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.support.errors import ImageError, UserError
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.sr_model import SRModel, common_scale


@dataclass(frozen=True)
class Measuring:
    """Progress: one more image was scored."""

    done: int
    """Scores that were found in the log or made by this rank."""
    total: int
    """Their number at the end."""
    model: str
    image: ImageScore


@dataclass(frozen=True)
class Measured:
    """A row of the table."""

    model: str
    parameters: int
    sets: dict[str, Evaluation]


@dataclass(frozen=True)
class _Task:
    key: str
    model: SRModel
    set: str
    hr: Path
    lr: Path | None


def measure(
    models: Sequence[SRModel],
    sets: Sequence[BenchmarkSet],
    *,
    ensemble: bool = False,
    log: ScoreLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[Measuring, None, list[Measured]]:
    """Score every model on every image, whole images one at a time, and yield after each.

    Ranks take turns, so that neither their number nor a stop and resumption changes a result; only the number of
    threads may, in the last digits.

    Args:
        models: of one scale, each with a name of its own.
        sets: each with a name of its own.
        ensemble: measure the models with self-ensemble; their names get a "+".
        log: keeps every score at once. Scores in it are reused if they are of the same weights and settings
            (`promptsr.zoo.fingerprint`), the same self-ensemble and scale, and image files of the same content,
            whatever their names.
        ranks: the processes that share the work; each returns all rows.

    Returns:
        A row for each model, in order.

    Raises:
        UserError: the scales differ, an image cannot be measured (the message names it), or the log cannot be written.
    """
    scale = common_scale(models)
    subjects = {
        self_ensemble(model) if ensemble else model: _key(fingerprint(model.network), scale, ensemble)
        for model in models
    }
    plan = _plan(subjects, sets)
    tasks = {task.key: task for row in plan.values() for task in row}
    found = log.read() if log else {}
    scores = {key: found[key] for key in tasks if key in found}
    ranks.barrier()  # all have read the same before anyone writes more

    mine = [task for key, task in tasks.items() if key not in scores][ranks.rank :: ranks.world]
    total = len(scores) + len(mine)
    for task in mine:
        try:
            score = score_pair(task.model, task.hr, task.lr)
        except UserError as error:
            raise UserError(f"{task.set}: {error}") from error
        if log:
            log.add(task.key, score)
        scores[task.key] = score
        yield Measuring(len(scores), total, task.model.name, score)
    for part in ranks.gather(scores):
        scores.update(part)

    def evaluation(model: SRModel, each: BenchmarkSet) -> Evaluation:
        row = plan[model.name, each.name]
        images = [replace(scores[task.key], name=task.hr.name) for task in row]  # equal files may have other names
        return Evaluation(model.name, scale, images)

    return [
        Measured(model.name, model.parameters, {each.name: evaluation(model, each) for each in sets})
        for model in subjects
    ]


def _plan(subjects: Mapping[SRModel, str], sets: Sequence[BenchmarkSet]) -> dict[tuple[str, str], list[_Task]]:
    """Return the tasks by model and set; `subjects` are the models and the fingerprints of their results."""
    digests = {path: _digest(path) for each in sets for pair in each.pairs for path in pair if path}
    return {
        (model.name, each.name): [
            _Task(_key(subject, digests[hr], digests[lr] if lr else None), model, each.name, hr, lr)
            for hr, lr in each.pairs
        ]
        for model, subject in subjects.items()
        for each in sets
    }


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}); check its rights.") from error


def _key(*parts: str | int | None) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
