"""Collected anchor prompts: equal to the network's own, whole after any interruption, and what is refused."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.ablations.networks import untrained, update_off
from analysis.anchors.collect import CollectedPrompts, Collecting, collect
from analysis.anchors.image_folders import ImageSet, find_image_set
from promptsr.config import preset
from promptsr.data import load_pair
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.support.ranks import Ranks
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

_COLLECT = """
import os, signal, sys
from pathlib import Path
from analysis.anchors.collect import collect
from analysis.anchors.image_folders import find_image_set
from promptsr.zoo.load import load_model

model, root, folder = sys.argv[1:]
for step in collect({"trained": load_model(model)}, find_image_set(Path(root)), Path(folder), batch=2):
    if step.done == 4:
        os.kill(os.getpid(), signal.SIGKILL)
"""
Collect = Callable[..., tuple[CollectedPrompts, list[Collecting]]]


class Unwaiting(Ranks):
    """A rank of several that runs without the others."""

    def barrier(self) -> None:
        pass


def run(
    variants: dict[str, SRModel], images: ImageSet, folder: Path, **settings: Any
) -> tuple[CollectedPrompts, list[Collecting]]:
    """A collection, two images at once, and its progress."""
    told: list[Collecting] = []
    return finish(collect(variants, images, folder, **{"batch": 2} | settings), told.append), told


def assert_same(first: CollectedPrompts, second: CollectedPrompts) -> None:
    assert first.prompts.keys() == second.prompts.keys()
    for name, found in first.prompts.items():
        np.testing.assert_array_equal(found.rows, second.prompts[name].rows)


@pytest.fixture(scope="module")
def collect_photos(photos: ImageSet, small_model: SRModel) -> Collect:
    """`run` for one network and the photographs: takes the folder and settings."""
    return partial(run, {"trained": small_model}, photos)


@pytest.fixture(scope="module")
def whole(collect_photos: Collect, tmp_path_factory: pytest.TempPathFactory) -> CollectedPrompts:
    """Collected without any interruption."""
    return collect_photos(tmp_path_factory.mktemp("whole"))[0]


@pytest.mark.parametrize("block", [None, 1, 2])
def test_prompts_are_those_at_the_taps(
    photos: ImageSet, small_model: SRModel, tmp_path: Path, block: int | None
) -> None:
    variants = {"trained": small_model, "untrained": untrained(small_model, 3), "update_off": update_off(small_model)}
    collected, told = run(variants, photos, tmp_path / "new", block=block, batch=4)
    # church: 2 of one size, 2 of another; then 8 of the first size
    assert [step.done for step in told] == [0] * 3 + [2] * 3 + [4] * 3 + [8] * 3 + [12]
    assert {step.total for step in told} == {12}
    assert told[3].name == "church/2.png"
    assert collected.skipped == {} and collected.used.tolist() == list(range(12))
    for name, model in variants.items():
        found = collected.prompts[name]
        assert isinstance(found.rows, np.memmap)
        assert found.rows.dtype == np.float32 and found.rows.shape == (10 * 36 + 2 * 24, 2, 8)
        assert found.grids[0].tolist() == [6, 6] and found.grids[2].tolist() == [4, 6]  # 24 x 20 padded to 24 x 24
        for i in (0, 2, 11):
            _, lr = load_pair(photos.path(i), 2)
            taps = [f"groups.{g}.blocks.{(block or 2) - 1}.global_prompting.anchor_prompts" for g in (0, 1)]
            with torch.no_grad(), record(model.network, taps) as seen:
                model(lr)
            expected = np.stack([seen[tap][0].numpy() for tap in taps], axis=1)
            np.testing.assert_allclose(found.of_image(i), expected, rtol=0, atol=1e-5)
    first, second = (collected.prompts[name].rows for name in ("trained", "untrained"))
    assert np.abs(first - second).max() > 0.1


def test_a_killed_process_is_resumed_bit_for_bit(
    collect_photos: Collect, photos: ImageSet, small_checkpoint: Path, whole: CollectedPrompts, tmp_path: Path
) -> None:
    folder = tmp_path / "collected"
    command = [sys.executable, "-c", _COLLECT, *map(str, (small_checkpoint, photos.root, folder))]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert np.count_nonzero(np.load(folder / "done.npy")) == 4
    resumed, told = collect_photos(folder)
    assert told[0].done == 4
    assert_same(resumed, whole)
    again, told = collect_photos(folder)
    assert_same(again, whole)
    assert [step.done for step in told] == [12]  # nothing is computed again


@pytest.mark.parametrize("moment", ["before the plan", "before the flags", "between two flags"])
def test_every_moment_leaves_what_can_be_resumed(
    collect_photos: Collect, whole: CollectedPrompts, tmp_path: Path, moment: str
) -> None:
    collect_photos(tmp_path)
    if moment == "before the plan":
        (tmp_path / "plan.json").unlink()
    lost = [8] if moment == "between two flags" else [8, 9]
    flags = np.load(tmp_path / "done.npy")
    flags[lost] = 0
    np.save(tmp_path / "done.npy", flags)
    written = np.lib.format.open_memmap(tmp_path / "trained.npy", "r+")
    offsets = whole.prompts["trained"].offsets
    written[offsets[lost[0]] : offsets[lost[-1] + 1] - 5] = np.nan  # the last rows were written
    assert_same(collect_photos(tmp_path)[0], whole)


def test_a_rank_does_its_share_alone(collect_photos: Collect, whole: CollectedPrompts, tmp_path: Path) -> None:
    collect_photos(tmp_path, ranks=Unwaiting(0, 2))
    assert np.load(tmp_path / "done.npy").tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    collect_photos(tmp_path, ranks=Unwaiting(1, 2))  # its share of what is left
    assert np.load(tmp_path / "done.npy").tolist() == [1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert_same(collect_photos(tmp_path)[0], whole)


def test_images_that_cannot_be_used_are_skipped_for_good(
    photos: ImageSet, small_model: SRModel, whole: CollectedPrompts, tmp_path: Path
) -> None:
    root = tmp_path / "photos"
    shutil.copytree(photos.root, root)
    (root / "dog" / "1.png").write_bytes(b"no image at all")
    cut = (root / "tench" / "2.png").read_bytes()
    (root / "tench" / "2.png").write_bytes(cut[: len(cut) // 2])
    damaged = find_image_set(root)
    collected, told = run({"trained": small_model}, damaged, tmp_path / "out")
    assert told[-1].done == 12
    assert list(collected.skipped) == ["dog/1.png", "tench/2.png"]
    assert "not an image we read" in collected.skipped["dog/1.png"]
    assert "damaged or incomplete" in collected.skipped["tench/2.png"]
    assert collected.used.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 11]
    found, expected = collected.prompts["trained"], whole.prompts["trained"]
    assert found.of_image(5).shape == (0, 2, 8) and not found.of_image(10).any()
    for i in collected.used:  # other images share their batches now
        np.testing.assert_allclose(found.of_image(i), expected.of_image(i), rtol=0, atol=1e-5)
    again, told = run({"trained": small_model}, damaged, tmp_path / "out")
    assert again.skipped == collected.skipped and [step.done for step in told] == [12]


def test_pixels_must_fit_the_header(collect_photos: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.anchors.collect.image_size", lambda path: (48, 40))
    collected, _ = collect_photos(tmp_path)
    assert list(collected.skipped) == ["church/2.png", "church/3.png"]
    assert "pixels that do not fit its header" in collected.skipped["church/2.png"]


def test_a_folder_with_something_else_is_refused(photos: ImageSet, small_model: SRModel, tmp_path: Path) -> None:
    trained, other = {"trained": small_model}, untrained(small_model, 1)
    run(trained, photos, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fewer = replace(photos, files=photos.files[1:], categories=photos.categories[1:])
    requests: list[tuple[dict[str, SRModel], ImageSet, dict[str, int]]] = [
        (trained, fewer, {}),
        (trained, replace(photos, files=photos.files[::-1]), {}),
        ({"trained": other}, photos, {}),
        ({"trained": small_model, "untrained": other}, photos, {}),
        (trained, photos, {"block": 1}),
        (trained, photos, {"batch": 3}),
    ]
    for variants, images, settings in requests:
        with pytest.raises(UserError, match="choose another --out, or delete that folder"):
            run(variants, images, tmp_path, **settings)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(UserError, match="delete that folder"):
        run(trained, photos, tmp_path)
    (tmp_path / "plan.json").write_bytes(before["plan.json"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_impossible_requests_are_refused_before_any_file(
    photos: ImageSet, small_model: SRModel, tmp_path: Path
) -> None:
    plain = preset("ablation-windows-only", scale=2, channels=8, groups=1, heads=2)
    windows = replace(small_model, network=PromptSR(plain))
    requests: list[tuple[list[SRModel], dict[str, int], str]] = [
        ([load_model("bicubic-x2")], {}, "bicubic-x2 has no anchor prompts"),
        ([windows], {}, "small has no anchor prompts"),
        ([small_model], {"block": 0}, "choose a block from 1 to 2, not 0"),
        ([small_model], {"block": 3}, "choose a block from 1 to 2, not 3"),
        ([small_model, load_model("promptsr-tiny-x4")], {}, "one scale"),
    ]
    for models, settings, hint in requests:
        with pytest.raises(UserError, match=hint):
            run({model.name: model for model in models}, photos, tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


def test_a_folder_without_any_usable_image_is_refused(small_model: SRModel, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"No image in .* can be read"):
        run({"trained": small_model}, find_image_set(tmp_path), tmp_path / "out")
