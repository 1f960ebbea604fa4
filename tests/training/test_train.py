"""Reports and files of a training, its losses, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from promptsr import kernels
from promptsr.data import load_pair
from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging.picture import to_pixels
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, ConfigError, UserError
from promptsr.training.optimizers import rate
from promptsr.training.recipe import Crops
from promptsr.training.run import Run
from promptsr.training.validation import Validation
from promptsr.zoo.checkpoints import read_info
from promptsr.zoo.load import load_model

if TYPE_CHECKING:
    from tests.training.conftest import Trial


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_training_lowers_the_loss_and_raises_the_psnr(trial: Trial, optimizer: str) -> None:
    reports, outcome = trial.finish(steps=80, optimizer=optimizer, lr=3e-3, validate_every=40)
    assert [report.step for report in reports] == list(range(1, 81))
    first, last = (sum(report.loss for report in part) / 10 for part in (reports[:10], reports[-10:]))
    assert last < 0.6 * first
    scores = [report.psnr_y for report in reports if report.psnr_y is not None]
    assert len(scores) == 2 and scores[1] > scores[0] + 0.5
    assert outcome.finished and outcome.step == 80 and outcome.weights == trial.output / "best.safetensors"


def test_reports_and_files_say_what_happened(trial: Trial) -> None:
    reports, outcome = trial.finish(steps=10, report_every=3)
    best = outcome.weights
    assert best is not None
    assert [report.step for report in reports] == [3, 4, 6, 8, 9, 10]
    assert [report.step for report in reports if report.psnr_y is not None] == [4, 8, 10]
    for report in reports:
        assert report.steps == 10 and report.lr == pytest.approx(6e-4 * rate(report.step - 1, 10, 2, ()))
    assert all(report.images_per_second > 0 for report in reports)

    # The reported PSNR is that of the averaged weights over the validation folder.
    scores = [score.psnr_y for score in evaluate(load_model(best), find_pairs(trial.images / "val", None))]
    highest = max(report.psnr_y for report in reports if report.psnr_y is not None)
    assert sum(scores) / 2 == pytest.approx(highest, abs=1e-9) == read_info(best)["validation_psnr_y"]
    assert trial.same(trial.tensors("final.safetensors"), trial.last["average"])
    assert not trial.same(trial.last["network"], trial.last["average"])

    final = load_model(trial.output / "final.safetensors")
    assert isinstance(final.network, PromptSR) and final.network.config == trial.model
    info = read_info(trial.output / "final.safetensors")
    assert info["step"] == 10 and info["train"]["data"] == ["train"] and info["train"]["validation"] == "val"
    assert str(trial.output) not in str(info) and str(trial.images) not in str(info)

    assert list(trial.log[0]) == ["step", "loss", "lr", "images_per_second", "psnr_y"]
    assert [(int(row["step"]), float(row["loss"])) for row in trial.log] == [(r.step, r.loss) for r in reports]
    events = EventAccumulator(str(trial.output / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "lr", "images_per_second", "psnr_y"}
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(report.step, pytest.approx(report.loss)) for report in reports]
    assert [event.step for event in events.Images("validation")] == [4, 8, 10]
    names = {path.name for path in trial.output.iterdir()}
    assert names == {
        "last.ckpt", "previous.ckpt", "best.safetensors", "final.safetensors", "final-raw.safetensors", "log.csv",
        "tensorboard", "validation.png",
    }  # fmt: skip


def test_losses_between_reports_are_averaged(trial: Trial) -> None:
    every, _ = trial.finish(steps=6, validation=None)
    other = trial.beside("other")
    thirds, outcome = other.finish(steps=6, validation=None, report_every=3)
    losses = [report.loss for report in every]
    assert [report.step for report in thirds] == [3, 4, 6]  # the fourth step saves, and reports
    expected = [sum(losses[:3]) / 3, losses[3], sum(losses[4:]) / 2]
    assert [report.loss for report in thirds] == pytest.approx(expected, rel=1e-6)
    assert outcome.weights == other.output / "final.safetensors" and not (other.output / "best.safetensors").exists()


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """The LR and HR crops that the network is trained on from now on."""
    seen: list[tuple[Tensor, Tensor]] = []
    advance = Run.advance

    def watched(self: Run, micro_batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        parts = [next(micro_batches) for _ in range(self.recipe.accumulate)]
        seen.extend(parts)
        return advance(self, iter(parts))

    monkeypatch.setattr(Run, "advance", watched)
    return seen


def write_own_pairs(folder: Path, seed: int = 0) -> dict[int, np.ndarray]:
    """Two pairs whose red and green are row and column in the LR image; return HR by the blue of LR."""
    own = {}
    for number, blue in enumerate((100, 101)):
        lr = np.stack([*np.indices((24, 28)), np.full((24, 28), blue)], axis=2).astype(np.uint8)
        hr = np.random.default_rng(seed + number).integers(0, 256, (49, 56, 3), dtype=np.uint8)
        hr[:48, :, :2] = 2 * lr[..., :2].repeat(2, 0).repeat(2, 1)
        for path, pixels in ((folder / "hr" / f"{number}.png", hr), (folder / "lr" / f"{number}x2.png", lr)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        own[blue] = hr
    return own


def test_a_network_sees_exactly_the_own_lr_images(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = write_own_pairs(tmp_path)
    seen, inputs, forward = watch(monkeypatch), [], PromptSR.forward

    def watched(self: PromptSR, image: Tensor) -> Tensor:
        inputs.append(image)
        return forward(self, image)

    def pixels(image: np.ndarray) -> set[tuple[int, ...]]:
        return {tuple(pixel) for pixel in image.reshape(-1, 3)}

    monkeypatch.setattr(PromptSR, "forward", watched)
    own = {"data": (str(tmp_path / "hr"),), "data_lr": (str(tmp_path / "lr"),)}
    trial.finish(validation=None, steps=8, batch=3, **own)
    assert len(inputs) == len(seen) == 8
    blues = set()
    for image, (_, targets) in zip(inputs, seen, strict=True):
        for crop, target in zip((image * 255).round().int().numpy(), targets.numpy(), strict=True):
            blue = int(crop[2, 0, 0])
            blues.add(blue)
            assert (crop[2] == blue).all() and np.ptp(crop[0]) == np.ptp(crop[1]) == 7
            # The target is the HR image where the LR crop says that it is, turned and mirrored alike.
            assert np.array_equal(target[:2], 2 * crop[:2].repeat(2, 1).repeat(2, 2))
            assert pixels(target.transpose(1, 2, 0)) <= pixels(originals[blue])
    assert blues == {100, 101}


def test_own_pairs_that_do_not_fit_are_named(trial: Trial, tmp_path: Path) -> None:
    write_own_pairs(tmp_path)
    own = {"data": (str(tmp_path / "hr"),), "data_lr": (str(tmp_path / "lr"),)}
    still = {**trial.STILL, **own}
    reports, _ = trial.finish(**still)
    assert not [note for note in reports[0].notes if "LR" in note]
    Image.new("RGB", (26, 24)).save(tmp_path / "lr" / "1x2.png")
    for name in ("a", "b", "c", "d"):
        Image.new("RGB", (14, 30)).save(tmp_path / "hr" / f"{name}.png")
        Image.new("RGB", (7, 15)).save(tmp_path / "lr" / f"{name}x2.png")
    reports, _ = trial.beside("other").finish(**still)
    notes = " ".join(reports[0].notes)
    assert "1x2.png (26 x 24) is not 1.png (56 x 48) shrunk by 2" in notes
    assert "4 of the images are too small to be used: a.png, b.png, c.png and 1 more." in notes
    with pytest.raises(UserError, match=r"No image in .*hr can be used: 0x2\.png \(26 x 24\) is not 0\.png"):
        for name in "abcd":
            (tmp_path / "hr" / f"{name}.png").unlink()
        (tmp_path / "lr" / "0x2.png").write_bytes((tmp_path / "lr" / "1x2.png").read_bytes())
        trial.beside("third").finish(**still)
    (tmp_path / "lr" / "0x2.png").unlink()
    with pytest.raises(UserError, match=r"lr has no LR image called 0\.png"):
        trial.beside("fourth").finish(**still)


def test_validation_images_may_have_lr_images_of_their_own(trial: Trial, tmp_path: Path) -> None:
    """Their sides rounded up: scored as `evaluate` does it."""
    rng = np.random.default_rng(0)
    for name, size in (
        ("hr/a.png", (57, 49)),
        ("lr/a_LRx2.png", (29, 25)),
        ("hr/b.png", (40, 40)),
        ("lr/bx2.png", (20, 20)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(tmp_path / name)
    folders = {"validation": str(tmp_path / "hr"), "validation_lr": str(tmp_path / "lr")}
    reports, outcome = trial.finish(steps=1, **folders)
    assert outcome.weights is not None
    scores = evaluate(load_model(outcome.weights), find_pairs(tmp_path / "hr", tmp_path / "lr"))
    assert reports[0].psnr_y == pytest.approx(np.mean([score.psnr_y for score in scores]), abs=1e-9)
    assert any("rounded up in a.png" in note for note in reports[0].notes)
    assert read_info(outcome.weights)["train"]["validation_lr"] == "lr"


def test_flat_validation_images_are_not_counted(trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "val"
    shutil.copytree(trial.images / "val", folder)
    plain, _ = trial.finish(steps=4)
    Image.new("RGB", (50, 50), "white").save(folder / "page.png")
    reports, _ = trial.beside("other").finish(steps=4, validation=str(folder))
    assert reports[-1].psnr_y == plain[-1].psnr_y is not None
    assert "Bicubic interpolation restores page.png perfectly: not counted in the validation." in reports[0].notes
    with pytest.raises(UserError, match=r"restores page\.png perfectly: validate on photographs"):
        for name in ("0.png", "1.png"):
            (folder / name).unlink()
        trial.beside("third").finish(steps=4, validation=str(folder))


def test_perfect_results_are_counted_apart(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    hr, lr = load_pair(trial.images / "val" / "1.png", 2)
    upscaled = Validation._upscaled

    def perfect(self: Validation, judge: PromptSR, image: Tensor) -> Tensor:
        return hr if torch.equal(image, lr) else upscaled(self, judge, image)

    monkeypatch.setattr(Validation, "_upscaled", perfect)
    [report], outcome = trial.finish(steps=1)
    assert outcome.weights is not None
    [score, _] = evaluate(load_model(outcome.weights), find_pairs(trial.images / "val", None))
    assert report.psnr_y == pytest.approx(score.psnr_y, abs=1e-9)
    assert "1 of 2 validation images are perfect: the mean PSNR is of the others." in report.notes


def test_bad_validation_images_are_named_before_anything_is_trained(trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "val"
    shutil.copytree(trial.images / "val", folder)
    Image.new("RGB", (50, 4)).save(folder / "small.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:-400])
    with pytest.raises(UserError, match=r"cut\.png is damaged.* small\.png \(50 x 4\) is smaller than 5 pixels"):
        trial.finish(validation=str(folder))
    assert not trial.output.exists()
    trial.finish(steps=1, validation=str(folder), validation_images=2)  # the others


def test_every_step_has_a_batch_of_its_own(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(monkeypatch)
    trial.finish(steps=6, validation=None)
    trial.beside("other").finish(steps=6, validation=None, seed=1)
    assert len(seen) == len({lr.numpy().tobytes() for lr, _ in seen}) == 12


def test_the_first_half_may_have_crops_of_its_own(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(monkeypatch)
    trial.finish(steps=5, validation=None, first_half=Crops(patch=6, batch=3))
    assert [tuple(lr.shape) for lr, _ in seen] == [(3, 3, 6, 6)] * 2 + [(2, 3, 8, 8)] * 3
    assert [tuple(hr.shape) for _, hr in seen] == [(3, 3, 12, 12)] * 2 + [(2, 3, 16, 16)] * 3


@pytest.mark.parametrize("accumulate", [2, 3])
def test_parts_add_up_to_the_batch(trial: Trial, accumulate: int) -> None:
    """Losses are those of the whole batch, even if its parts differ in size; so is what they lead to."""
    settings: dict[str, Any] = {"batch": 5, "optimizer": "adam"}
    whole, _ = trial.finish(**settings)
    parts, _ = trial.beside("parts").finish(accumulate=accumulate, **settings)
    assert [report.loss for report in parts] == pytest.approx([report.loss for report in whole], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda sr, hr, _: (sr - hr).abs().mean()),
        ({"loss": "mse"}, lambda sr, hr, _: (sr - hr).square().mean()),
        (
            {"teacher": "bicubic-x2", "teacher_share": 0.3},
            lambda sr, hr, taught: 0.7 * (sr - hr).abs().mean() + 0.3 * (sr - taught).abs().mean(),
        ),
    ],
)
def test_losses_are_the_mean_error_of_the_network(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: Callable[..., Tensor]
) -> None:
    seen = watch(monkeypatch)
    reports, _ = trial.finish(**{**trial.STILL, "steps": 2, **changes})
    network = PromptSR(trial.model)
    network.load_state_dict(trial.last["network"])
    for report, (lr, hr) in zip(reports, seen, strict=True):
        small = lr.float() / 255
        with torch.no_grad():
            loss = expected(network(small), hr.float() / 255, upscale(small, 2).clamp(0, 1))
        assert report.loss == pytest.approx(float(loss), rel=1e-5)
    assert read_info(trial.output / "final.safetensors")["train"]["teacher"] == changes.get("teacher")


def test_an_unusable_teacher_is_refused(trial: Trial) -> None:
    with pytest.raises(ConfigError, match="bicubic-x4 upscales x4: choose a teacher for x2"):
        trial.finish(teacher="bicubic-x4")
    with pytest.raises(CheckpointError, match="There is no model nobody"):
        trial.finish(teacher="nobody")
    assert not trial.output.exists()


def test_no_averaging_keeps_the_trained_weights(trial: Trial) -> None:
    trial.finish(steps=3, ema=0.0)
    assert trial.same(trial.tensors("final.safetensors"), trial.tensors("final-raw.safetensors"))


def test_the_gradient_is_clipped(trial: Trial) -> None:
    """With Adam a rate of zero would hide it: the first moment after one step is a tenth of the clipped gradient."""
    trial.finish(steps=1, optimizer="adam", clip=1e-3, validation=None)
    moments = [state["exp_avg"] for state in trial.last["optimizers"][0]["state"].values()]
    norm = np.sqrt(sum(float(moment.double().square().sum()) for moment in moments))
    assert norm == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_the_threads_of_a_training_are_those_of_the_recipe_and_end_with_it(trial: Trial) -> None:
    before = torch.get_num_threads()
    wanted = 1 if before > 1 else 2
    seen = []
    for _ in trial.start(steps=3, threads=wanted, validation=None):
        seen.append(torch.get_num_threads())
    assert seen == [wanted] * 3 and torch.get_num_threads() == before


def test_unusable_data_is_refused_before_anything_is_written(trial: Trial, tmp_path: Path) -> None:
    changes: list[tuple[dict[str, Any], str]] = [
        ({"data": (str(tmp_path / "nowhere"),)}, "nowhere is not a folder"),
        ({"patch": 100}, "at least 200 pixels"),
        ({"validation": str(tmp_path / "nowhere")}, "nowhere is not a folder"),
    ]
    for change, message in changes:
        with pytest.raises(UserError, match=message):
            trial.finish(**change)
    with pytest.raises(ConfigError, match="A batch of 2 cannot be shared by 1 processes in 3 parts"):
        trial.finish(accumulate=3)
    assert not trial.output.exists()


def test_bf16_learns_in_fp32_weights(trial: Trial) -> None:
    settings: dict[str, Any] = {"steps": 30, "lr": 3e-3, "validate_every": 30}
    reports, outcome = trial.finish(precision="bf16", **settings)
    assert sum(report.loss for report in reports[-5:]) < 0.8 * sum(report.loss for report in reports[:5])
    assert {value.dtype for value in trial.tensors("best.safetensors").values()} == {torch.float32}
    assert outcome.finished
    exact = next(trial.beside("fp32").start(**settings))
    assert exact.loss != reports[0].loss and exact.loss == pytest.approx(reports[0].loss, rel=0.02)


def test_notes_reach_the_reports_once_and_never_the_log(trial: Trial) -> None:
    with kernels.disabled():
        reports, _ = trial.finish()
    assert [len(report.notes) for report in reports] == [1] + [0] * 11
    assert "notes" not in (trial.output / "log.csv").read_text()


def test_the_validation_picture_shows_bicubic_network_and_truth(trial: Trial) -> None:
    trial.finish(steps=4)
    pixels = np.asarray(Image.open(trial.output / "validation.png"))
    hr = np.asarray(Image.open(trial.images / "val" / "0.png"))
    assert pixels.shape == (2 * 48, 3 * 56, 3)
    assert np.array_equal(pixels[:48, 112:], hr)
    best = load_model(trial.output / "best.safetensors")
    lr = load_pair(trial.images / "val" / "0.png", 2)[1]
    with torch.no_grad():
        sr, bicubic = (to_pixels(image[0].permute(1, 2, 0), 8) for image in (best(lr), upscale(lr, 2)))
    assert np.array_equal(pixels[:48, 56:112], sr) and np.array_equal(pixels[:48, :56], bicubic)
