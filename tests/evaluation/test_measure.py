"""Models over sets: the scores, and which of an earlier run are taken over."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from promptsr.evaluation.benchmark_sets import BenchmarkSet, find_sets
from promptsr.evaluation.evaluate import Evaluation, ImageScore, evaluate
from promptsr.evaluation.measure import Measured, Measuring, measure
from promptsr.evaluation.score_log import ScoreLog
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

Model = Callable[..., SRModel]
BICUBIC = load_model("bicubic-x2")


def run(
    models: list[SRModel], sets: list[BenchmarkSet], log: ScoreLog, ensemble: bool = False
) -> tuple[list[Measured], int]:
    """The rows, and how many images were scored for them."""
    steps: list[Measuring] = []
    rows = finish(measure(models, sets, log=log, ensemble=ensemble), steps.append)
    return rows, len(steps)


@pytest.fixture
def sets(bench: Path) -> list[BenchmarkSet]:
    """Set5 and Kodak24, two images each."""
    return find_sets(bench, ["Set5", "Kodak24"], 2)


@pytest.fixture
def log(tmp_path: Path) -> ScoreLog:
    return ScoreLog(tmp_path / "scores")


@pytest.mark.parametrize("ensemble", [False, True])
def test_scores_are_those_of_each_folder(model: Model, sets: list[BenchmarkSet], ensemble: bool) -> None:
    models = [BICUBIC, model("doubling", 0.9)]
    steps: list[Measuring] = []
    rows = finish(measure(models, sets, ensemble=ensemble), steps.append)
    expected = [self_ensemble(each) for each in models] if ensemble else models
    assert [row.model for row in rows] == [each.name for each in expected]
    for row, each in zip(rows, expected, strict=True):
        assert row.parameters == each.parameters
        assert row.sets == {part.name: Evaluation(each.name, 2, list(evaluate(each, part.pairs))) for part in sets}
    assert [(step.done, step.total) for step in steps] == [(i, 8) for i in range(1, 9)]
    assert [step.model for step in steps] == [expected[0].name] * 4 + [expected[1].name] * 4


def test_a_stopped_run_goes_on_where_it_was(model: Model, sets: list[BenchmarkSet], log: ScoreLog) -> None:
    models = [BICUBIC, model("doubling")]
    whole = finish(measure(models, sets))
    work = measure(models, sets, log=log)
    for _ in range(3):
        next(work)
    work.close()
    steps: list[Measuring] = []
    # Goes on as another rank
    assert finish(measure(models, sets, log=replace(log, rank=1)), steps.append) == whole
    assert [(step.done, step.total) for step in steps] == [(i, 8) for i in range(4, 9)]
    assert run(models, sets, log) == (whole, 0)
    assert [path.name for path in sorted(log.folder.iterdir())] == ["scores-0.jsonl", "scores-1.jsonl"]


@pytest.mark.parametrize("cut", [1, 2, 30, 10_000])
def test_half_a_line_counts_for_nothing_and_spoils_nothing(
    model: Model, sets: list[BenchmarkSet], log: ScoreLog, cut: int
) -> None:
    models = [model("doubling")]
    rows, scored = run(models, sets, log)
    assert scored == 4
    [file] = log.folder.iterdir()
    content = file.read_bytes()
    last = content.rstrip().rindex(b"\n") + 1
    file.write_bytes(content[: max(last + 1, len(content) - 1 - cut)])
    assert run(models, sets, log) == (rows, 1)
    assert run(models, sets, log) == (rows, 0)


def test_scores_survive_exactly(log: ScoreLog) -> None:
    scores = {"a": ImageScore("a.png", 30.1 + 0.2, 1 / 3), "b": ImageScore("ü.png", float("inf"), 1.0)}
    for key, score in scores.items():
        log.add(key, score)
    (log.folder / "scores-9.jsonl").write_bytes(b'\xff\xfe\n[1]\n3\n{}\n{"key": "c"}\n')
    assert log.read() == scores
    assert b"Infinity" not in (log.folder / "scores-0.jsonl").read_bytes()  # which is not JSON
    (log.folder.parent / "file").write_text("")
    with pytest.raises(UserError, match="choose another output folder"):
        ScoreLog(log.folder.parent / "file").add("a", scores["a"])


def test_only_what_is_the_same_is_taken_over(
    model: Model, sets: list[BenchmarkSet], log: ScoreLog, write: Callable[..., Path]
) -> None:
    rows, _ = run([model("a")], sets, log)
    assert run([model("b")], sets, log)[1] == 0  # the same weights under another name
    assert run([model("a", 0.9)], sets, log)[1] == 4  # other weights under the same name
    assert run([model("a")], sets, log, ensemble=True)[1] == 4
    assert run([model("a")], sets, log, ensemble=True)[1] == 0
    assert run([model("a")], sets, log) == (rows, 0)

    hr, lr = sets[0].pairs[0]
    assert lr is not None
    write(lr, 99, 2)  # another LR image
    assert run([model("a")], sets, log)[1] == 1
    write(hr, 99)  # another HR image
    assert run([model("a")], sets, log)[1] == 1
    hr.touch()
    assert run([model("a")], sets, log)[1] == 0


def test_renamed_images_keep_their_scores_under_the_new_name(model: Model, bench: Path, log: ScoreLog) -> None:
    before, _ = run([model("a")], find_sets(bench, ["Kodak24"], 2), log)
    shutil.move(bench / "Kodak24" / "baby.png", bench / "Kodak24" / "other.png")
    after, scored = run([model("a")], find_sets(bench, ["Kodak24"], 2), log)
    assert scored == 0
    old, new = (rows[0].sets["Kodak24"].images for rows in (before, after))
    assert [image.name for image in new] == ["bird.png", "other.png"]
    assert [image.psnr_y for image in new] == [image.psnr_y for image in reversed(old)]


def test_images_that_cannot_be_measured_are_named_and_cost_no_others(
    model: Model, bench: Path, log: ScoreLog, write: Callable[..., Path]
) -> None:
    """Damaged pixels show late, a damaged file and a pair of wrong size at once, a vanished file in between."""
    [whole], _ = run([model("a")], find_sets(bench, [], 2), log)
    cut = bench / "Set14" / "HR" / "bird.png"
    cut.write_bytes(cut.read_bytes()[:-400])
    (bench / "B100" / "baby.png").write_bytes(b"damaged")
    write(bench / "Set5" / "x2" / "LR" / "bird.png", 1, 4)
    sets = find_sets(bench, [], 2)
    named = {each.name: [image.name for image in each.left_out] for each in sets}
    assert named == {"Set5": ["bird.png"], "Set14": [], "BSD100": ["baby.png"], "Kodak24": []}
    (bench / "Kodak24" / "baby.png").unlink()
    for models in ([model("a")], [model("a"), model("other", 0.9)]):
        rows, _ = run(models, sets, log)
        for name, lost, text in (
            ("Set5", "bird.png", "bird.png (9 x 10) is not bird.png (36 x 40) shrunk by 2"),
            ("Set14", "bird.png", "bird.png is damaged"),
            ("BSD100", "baby.png", "baby.png"),
            ("Kodak24", "baby.png", "No such file"),
        ):
            for row in rows:
                [image] = row.sets[name].left_out
                assert image.name == lost and text in image.reason
            kept = [image for image in whole.sets[name].images if image.name != lost]
            assert rows[0].sets[name].images == kept


def test_nothing_to_measure_is_an_error(model: Model, bench: Path) -> None:
    [kodak] = find_sets(bench, ["Kodak24"], 2)
    for path, _ in kodak.pairs:
        path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match=r"^No image could be measured: baby\.png is damaged"):
        finish(measure([model("a")], [kodak]))


def test_fingerprints_tell_networks_apart() -> None:
    def linear(seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Linear(2, 2).to(dtype)

    networks = [linear(0), linear(1), linear(0, torch.bfloat16), nn.Sequential(linear(0)), nn.PReLU(), nn.Identity()]
    networks += [load_model(f"promptsr-tiny-x{scale}").network for scale in (2, 4)]
    prints = [fingerprint(network) for network in networks]
    assert len(set(prints)) == len(prints)
    assert fingerprint(linear(0)) == prints[0]
