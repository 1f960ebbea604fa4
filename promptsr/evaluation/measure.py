"""Several models over several sets: shared among ranks, and resumed from logged scores."""

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from promptsr.data.pairs import PairPaths
from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import Evaluation, ImageScore, LeftOut, score_pair
from promptsr.evaluation.score_log import ScoreLog
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.support.errors import UserError
from promptsr.support.files import digest
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
    """Key of its score: tasks for equal files have the same."""
    model: SRModel
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

    The rows name images that cannot be measured. Ranks take turns, so that neither their number nor a stop and
    resumption changes a result; only the number of threads may, in the last digits.

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
        UserError: the scales differ, not one image can be measured, or the log cannot be written.
    """
    scale = common_scale(models)
    subjects = {
        self_ensemble(model) if ensemble else model: _key(fingerprint(model.network), scale, ensemble)
        for model in models
    }
    digests: dict[PairPaths, list[str | None]] = {}
    sets = [_digest_pairs(each, digests) for each in sets]
    plan = _plan(subjects, sets, digests)
    tasks = {task.key: task for row in plan.values() for task in row}
    found = log.read() if log else {}
    scores = {key: found[key] for key in tasks if key in found}
    failures: dict[str, str] = {}
    ranks.barrier()  # all have read the same before anyone writes more

    mine = [task for key, task in tasks.items() if key not in scores][ranks.rank :: ranks.world]
    total = len(scores) + len(mine)
    for task in mine:
        try:
            score = score_pair(task.model, task.hr, task.lr)
        except UserError as error:
            failures[task.key] = str(error)
            continue
        if log:
            log.add(task.key, score)
        scores[task.key] = score
        yield Measuring(len(scores) + len(failures), total, task.model.name, score)
    for scored, failed in ranks.gather((scores, failures)):
        scores.update(scored)
        failures.update(failed)

    def evaluation(model: SRModel, each: BenchmarkSet) -> Evaluation:
        row = plan[model.name, each.name]
        # Equal files may have other names.
        images = [replace(scores[task.key], name=task.hr.name) for task in row if task.key in scores]
        failed = [LeftOut(task.hr.name, failures[task.key]) for task in row if task.key in failures]
        return Evaluation(model.name, scale, images, (*each.left_out, *failed), each.notes)

    rows = [
        Measured(model.name, model.parameters, {each.name: evaluation(model, each) for each in sets})
        for model in subjects
    ]
    if not scores:
        reasons = [image.reason for row in rows for each in row.sets.values() for image in each.left_out]
        raise UserError(f"No image could be measured: {next(iter(reasons), 'there is none.')}")
    return rows


def _plan(
    subjects: Mapping[SRModel, str], sets: Sequence[BenchmarkSet], digests: Mapping[PairPaths, Sequence[str | None]]
) -> dict[tuple[str, str], list[_Task]]:
    """Return the tasks by model and set.

    Args:
        subjects: the models and the fingerprints of their results.
        sets: to measure on.
        digests: of the files of every pair.
    """
    return {
        (model.name, each.name): [_Task(_key(subject, *digests[hr, lr]), model, hr, lr) for hr, lr in each.pairs]
        for model, subject in subjects.items()
        for each in sets
    }


def _digest_pairs(each: BenchmarkSet, digests: dict[PairPaths, list[str | None]]) -> BenchmarkSet:
    """Add the digests of a set's files, and return the set without the pairs that cannot be read."""
    left_out = list(each.left_out)
    for pair in each.pairs:
        try:
            digests[pair] = [digest(path) if path else None for path in pair]
        except UserError as error:
            left_out.append(LeftOut(pair[0].name, str(error)))
    return replace(each, pairs=[pair for pair in each.pairs if pair in digests], left_out=tuple(left_out))


def _key(*parts: str | int | None) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
