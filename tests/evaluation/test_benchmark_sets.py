"""The layouts of benchmark archives, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from promptsr.evaluation.benchmark_sets import BenchmarkSet, find_sets
from promptsr.support.errors import UserError


def test_every_layout_is_found(bench: Path) -> None:
    sets = find_sets(bench, [], 2)
    assert [each.name for each in sets] == ["Set5", "Set14", "BSD100", "Kodak24"]  # Table I first
    by_name = {each.name: each.pairs[0] for each in sets}
    assert by_name == {
        "Set5": (bench / "Set5" / "x2" / "HR" / "baby.png", bench / "Set5" / "x2" / "LR" / "baby.png"),
        "Set14": (bench / "Set14" / "HR" / "baby.png", bench / "Set14" / "LR_bicubic" / "X2" / "babyx2.png"),
        "BSD100": (bench / "B100" / "baby.png", None),
        "Kodak24": (bench / "Kodak24" / "baby.png", None),
    }
    assert all(len(each.pairs) == 2 for each in sets)


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("X2/hr/baby.png", "X2/lr/BABY.PNG"),
        ("HR/baby.png", "LR/X2/baby.png"),
        ("hr/baby.png", "lr_bicubic/x2/babyx2.png"),
        ("GTmod12/baby.png", "LRbicx2/baby.png"),
        ("HR/baby_HR_x2.png", "X2/baby_LRBI_x2.png"),
        ("HR/baby.png", "LR/babyx2.png"),
        ("baby.png", "x2/babyx2.png"),
        ("image_SRF_2/baby_SRF_2_HR.png", "image_SRF_2/baby_SRF_2_LR.png"),
    ],
)
def test_layouts_of_other_archives_are_found(tmp_path: Path, write: Callable[..., Path], hr: str, lr: str) -> None:
    pair = write(tmp_path / "Set5" / hr, 0), write(tmp_path / "Set5" / lr, 0, 2)
    assert find_sets(tmp_path, [], 2) == [BenchmarkSet("Set5", [pair])]


def test_lr_folders_may_be_absent(bench: Path) -> None:
    shutil.rmtree(bench / "Set5" / "x2" / "LR")
    shutil.rmtree(bench / "Set14" / "LR_bicubic")
    for each in find_sets(bench, ["Set5", "Set14"], 2):
        assert [lr for _, lr in each.pairs] == [None, None]


def test_sets_come_as_asked_for_and_once(bench: Path) -> None:
    found = find_sets(bench, ["Kodak24", "B100", "BSD100", "Kodak24"], 2)
    assert [each.name for each in found] == ["Kodak24", "BSD100"]


def test_a_set_of_other_scales_is_left_out(bench: Path) -> None:
    sets = find_sets(bench, [], 3)
    assert [each.name for each in sets] == ["Set14", "BSD100", "Kodak24"]
    assert all(lr is None for each in sets for _, lr in each.pairs)


def test_missing_sets_folders_and_partners_are_refused(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no set Set5 with images for x3: choose among Set14, BSD100, Kodak24\."):
        find_sets(bench, ["Kodak24", "Set5"], 3)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_sets(tmp_path / "nowhere", [], 2)
    with pytest.raises(UserError, match="holds no set with images for x2"):
        find_sets(bench / "notes", [], 2)
    (bench / "Set14" / "LR_bicubic" / "X2" / "birdx2.png").unlink()
    with pytest.raises(UserError, match=r"X2 has no LR image called bird\.png: add it"):
        find_sets(bench, [], 2)
