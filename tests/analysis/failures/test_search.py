"""Planted failures are found at their place; losses, scores and crops against numpy and scikit-image."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

from analysis.failures.figure import draw_case
from analysis.failures.report import write_report
from analysis.failures.search import find_failures
from analysis.failures.study import Case, FailureStudy
from promptsr.data.pairs import find_pairs
from promptsr.imaging.resize import downscale, upscale
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

BICUBIC = load_model("bicubic-x2")
WINDOW = 32
CHECKERBOARD = ("checkerboard.png", 48, 20)
BLUR = ("blur.png", 13, 70)
"""Image and top-left corner of the planted failures, WINDOW pixels wide."""


class Planted(nn.Module):
    """Bicubic x2, but for a checkerboard in one window of a wide image and a blur in one of a tall image."""

    def forward(self, lr: Tensor) -> Tensor:
        image = upscale(lr, 2)
        wide = image.shape[3] > image.shape[2]
        _, x, y = CHECKERBOARD if wide else BLUR
        window = image[:, :, y : y + WINDOW, x : x + WINDOW]
        if wide:
            rows, columns = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
            window += 0.12 * ((rows // 2 + columns // 2) % 2 * 2 - 1)
        else:
            window[:] = torch.from_numpy(ndimage.gaussian_filter(window.numpy(), (0, 0, 3, 3)))
        return image


PLANTED = SRModel("planted", 2, Planted())
NEAREST = SRModel("nearest", 2, nn.Upsample(scale_factor=2, mode="nearest"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, 144 x 112 and 112 x 144 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[100:212, 150:294]).save(folder / CHECKERBOARD[0])
    Image.fromarray(data.chelsea()[80:224, 120:232]).save(folder / BLUR[0])
    return folder


def search(model: SRModel, against: Sequence[SRModel], folder: Path, **settings: Any) -> FailureStudy:
    return finish(find_failures(model, against, find_pairs(folder, None), **{"window": WINDOW, **settings}))


def shared(case: Case, x: int, y: int) -> float:
    """The share of a planted window that a case covers."""
    across, down = (max(0, WINDOW - abs(a - b)) for a, b in ((case.x, x), (case.y, y)))
    return across * down / WINDOW**2


def luma_of(path: Path) -> np.ndarray:
    luma: np.ndarray = rgb2ycbcr(np.asarray(Image.open(path)))[..., 0]
    return luma


def result_of(model: SRModel, path: Path) -> np.ndarray:
    """The 8-bit result for the LR version of an image, H x W x 3."""
    hr = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)[None] / 255  # -> 1 x 3 x H x W
    lr = (downscale(hr, 2).clamp(0, 1) * 255).round() / 255
    sr: np.ndarray = (model(lr).clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0).numpy()  # -> H x W x 3
    return sr


def test_planted_failures_come_first_and_are_named_rightly(folder: Path) -> None:
    study = search(PLANTED, [BICUBIC], folder)
    found = {case.image: case for case in study.cases[:2]}
    for (image, x, y), kind in ((CHECKERBOARD, "artefact"), (BLUR, "blur")):
        assert found[image].kind == kind
        assert shared(found[image], x, y) > 0.7
        assert found[image].loss_db > 3
        assert found[image].against == "bicubic-x2"
        assert found[image].missing > 10 or kind == "artefact"
        assert found[image].invented > 100 or kind == "blur"
    assert all(case.loss_db < study.cases[1].loss_db for case in study.cases[2:])
    for case in study.cases:  # nothing else differs
        assert shared(case, *(CHECKERBOARD if case.image == CHECKERBOARD[0] else BLUR)[1:]) > 0


def test_the_first_case_is_the_worst_peak_of_the_excess_error(folder: Path) -> None:
    study = search(NEAREST, [PLANTED, BICUBIC], folder, stride=16)
    worst = (-np.inf, "", 0, 0, "")
    for path in folder.iterdir():
        hr = luma_of(path)
        rivals = [PLANTED, BICUBIC]
        own, *others = ((rgb2ycbcr(result_of(model, path))[..., 0] - hr) ** 2 for model in (NEAREST, *rivals))

        def scores(y: int, x: int, own: np.ndarray = own, others: Sequence[np.ndarray] = others) -> list[float]:
            """The model's error in a window, then that of each other."""
            return [float(error[y : y + WINDOW, x : x + WINDOW].mean()) for error in (own, *others)]

        columns, rows = (range(0, side - WINDOW + 1, 16) for side in hr.shape[::-1])  # 16 divides both sides
        excess = {(y, x): scores(y, x)[0] - min(scores(y, x)[1:]) for y in rows for x in columns}
        for (y, x), value in excess.items():
            if value >= max(excess.get((y + j, x + i), -np.inf) for j in (-16, 0, 16) for i in (-16, 0, 16)):
                mse, *other = scores(y, x)
                loss = 10 * np.log10((mse + 4) / (min(other) + 4))
                worst = max(worst, (loss, path.name, x, y, rivals[int(np.argmin(other))].name))
    case = study.cases[0]
    assert (case.image, case.x, case.y, case.against) == worst[1:]
    assert case.loss_db == pytest.approx(worst[0], abs=1e-3)
    assert [case.loss_db for case in study.cases] == sorted((case.loss_db for case in study.cases), reverse=True)


def test_a_case_holds_the_scores_and_the_pixels_of_its_window(folder: Path) -> None:
    case = search(NEAREST, [BICUBIC], folder).cases[0]
    window = np.s_[case.y : case.y + WINDOW, case.x : case.x + WINDOW]
    path = folder / case.image
    assert (case.crops["HR"] == np.asarray(Image.open(path))[window]).all()
    for model in (NEAREST, BICUBIC):
        sr = result_of(model, path)
        assert (case.crops[model.name] == sr[window]).all()
        y, true = rgb2ycbcr(sr)[window][..., 0], luma_of(path)[window]
        assert case.psnr_y[model.name] == pytest.approx(peak_signal_noise_ratio(true, y, data_range=255), abs=1e-3)
        assert np.abs(case.errors[model.name] - (y - true)).max() < 1e-3
    assert list(case.crops) == ["HR", "LR bicubic", "nearest", "bicubic-x2"]
    assert np.abs(case.crops["LR bicubic"].astype(int) - case.crops["bicubic-x2"]).max() <= 1
    assert case.hr.untyped_storage().nbytes() == 4 * case.hr.numel(), "a view keeps the whole image in memory"
    assert draw_case(case).axes


def test_cases_hardly_overlap_and_are_limited(folder: Path) -> None:
    cases = search(NEAREST, [BICUBIC], folder, stride=4, count=9).cases
    assert len(cases) == 9
    for i, one in enumerate(cases):
        assert all(one.image != other.image or shared(one, other.x, other.y) <= 0.25 for other in cases[:i])
    few = search(NEAREST, [BICUBIC], folder, per_image=1).cases
    assert {case.image for case in few} == {"blur.png", "checkerboard.png"} and len(few) == 2


def test_summary_of_the_whole_folder(folder: Path) -> None:
    study = search(NEAREST, [BICUBIC], folder)
    assert study.images == 2 and len(study.windows) == 2 * (112 // WINDOW) * (144 // WINDOW)
    pairs = [(luma_of(path), rgb2ycbcr(result_of(NEAREST, path))[..., 0]) for path in folder.iterdir()]
    psnr = [peak_signal_noise_ratio(*(luma[2:-2, 2:-2] for luma in pair), data_range=255) for pair in pairs]
    assert study.mean("psnr_y")["nearest"] == pytest.approx(np.mean(psnr), abs=1e-3)
    loss = 10 * np.log10((study.windows["mse nearest"] + 4) / (study.windows["mse bicubic-x2"] + 4))
    [row] = study.balance.to_dict("records")
    assert (row["lost"], row["won"]) == ((loss > 0.1).sum(), (loss < -0.1).sum())
    assert row["lost"] + row["won"] + row["drawn"] == len(study.windows)
    assert row["lost_db"] == pytest.approx(loss[loss > 0.1].mean())
    never = search(BICUBIC, [PLANTED], folder)  # a model that never loses has no cases
    assert never.cases == () and never.balance["lost"].tolist() == [0]


def test_perfect_images_are_counted_apart(folder: Path, tmp_path: Path) -> None:
    (tmp_path / BLUR[0]).write_bytes((folder / BLUR[0]).read_bytes())
    alone = search(NEAREST, [PLANTED], tmp_path)
    Image.new("RGB", (128, 96), "white").save(tmp_path / "page.png")
    study = search(NEAREST, [BICUBIC], tmp_path)
    assert study.images == 2 and study.perfect == {"nearest": 1, "bicubic-x2": 1}
    assert study.mean("psnr_y")["nearest"] == alone.mean("psnr_y")["nearest"]
    found = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert found["perfect"] == study.perfect and found["psnr_y"] == study.mean("psnr_y")
    page = write_report(study, tmp_path / "out").read_text()
    assert "nearest makes 1 of 2 images without any error" in page and not re.search(r"\b(inf|nan)\b", page)
    (tmp_path / BLUR[0]).unlink()
    only = search(NEAREST, [BICUBIC], tmp_path)
    assert only.mean("psnr_y")["nearest"] == np.inf and only.to_dict()["psnr_y"]["nearest"] is None
    assert "<td>inf</td>" in write_report(only, tmp_path / "out").read_text()


def test_given_lr_images_are_used(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        Image.new("RGB", (72, 56) if path.name == CHECKERBOARD[0] else (50, 50), "#808080").save(tmp_path / path.name)
    study = finish(find_failures(NEAREST, [BICUBIC], find_pairs(folder, tmp_path), window=WINDOW))
    assert study.mean("psnr_y")["nearest"] == study.mean("psnr_y")["bicubic-x2"] and study.cases == ()
    assert list(study.skipped) == [BLUR[0]] and "112 x 144" in study.skipped[BLUR[0]]


def test_unusable_images_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    Image.open(folder / BLUR[0]).save(tmp_path / "good.png")
    Image.new("RGB", (20, 200)).save(tmp_path / "narrow.png")
    (tmp_path / "bad.png").write_bytes((folder / BLUR[0]).read_bytes()[:5000])
    study = search(NEAREST, [BICUBIC], tmp_path)
    assert study.images == 1 and {case.image for case in study.cases} == {"good.png"}
    assert list(study.skipped) == ["bad.png", "narrow.png"]
    assert "damaged" in study.skipped["bad.png"] and "20 x 200" in study.skipped["narrow.png"]
    (tmp_path / "bad.png").unlink()
    with pytest.raises(UserError, match=r"112 x 144.*smaller than a window of 300"):
        search(NEAREST, [BICUBIC], tmp_path, window=300)


@pytest.mark.parametrize(
    ("against", "settings", "hint"),
    [
        ([], {}, "name at least one"),
        ([load_model("bicubic-x4")], {}, "one scale"),
        ([NEAREST], {}, "Two models are called nearest"),
        ([BICUBIC], {"window": 10}, "11"),
        ([BICUBIC], {"stride": 0}, "stride"),
        ([BICUBIC], {"count": 0}, "cases"),
        ([BICUBIC], {"per_image": 0}, "of an image"),
    ],
)
def test_impossible_requests(against: list[SRModel], settings: dict[str, Any], hint: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=hint):
        next(find_failures(NEAREST, against, find_pairs(folder, None), **settings))


def test_progress_names_every_image_and_model(folder: Path) -> None:
    steps = list(find_failures(NEAREST, [BICUBIC], find_pairs(folder, None), window=WINDOW))
    begun = [(step.image, step.done, step.total) for step in steps if not step.model]
    assert begun == [("blur.png", 0, 2), ("checkerboard.png", 1, 2)]
    assert {step.model for step in steps if step.model} == {"nearest", "bicubic-x2"}
