"""The run behind the command, the tab and the tool: its events in order, its maps, and the places that it reports."""

from itertools import groupby

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparing, region_scores
from analysis.lam.attribution import PathSettings
from analysis.lam.method import LocalAttributionMap
from analysis.lam.patches import patch_around
from analysis.lam.run import Attributing, Explanation, explain_window
from promptsr.data import make_lr
from promptsr.imaging.metrics import quantize
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import Bicubic, load_model
from promptsr.zoo.sr_model import SRModel

SCALE, SIDE = 2, 24
WINDOW = Region(60, 41, 12)
SETTINGS, PREVIEW = PathSettings(steps=5, rule="right"), PathSettings(steps=3, rule="trapezoid")


@pytest.fixture(scope="module")
def hr() -> Tensor:
    """Part of a face, 1 x 3 x 80 x 96."""
    return torch.from_numpy(data.astronaut()[60:140, 170:266] / 255).float().permute(2, 0, 1)[None]


def test_events_maps_and_rows(hr: Tensor) -> None:
    models, lr = [load_model("bicubic-x2"), load_model("promptsr-tiny-x2")], make_lr(hr, SCALE)
    events: list[Comparing | Attributing | Explanation] = []
    work = explain_window(models, lr, WINDOW, hr=hr, side=SIDE, settings=SETTINGS, preview=PREVIEW, at_once=2)
    found = finish(work, events.append)
    assert [kind for kind, _ in groupby(map(type, events))] == [Comparing, Attributing, Explanation, Attributing]
    steps = [
        (event.model, event.settings, event.progress and (event.progress.done, event.progress.total))
        for event in events
        if isinstance(event, Attributing)
    ]
    assert steps == [
        (model.name, settings, progress)
        for settings, passes in ((PREVIEW, [None, (2, 4), (4, 4)]), (SETTINGS, [None, (2, 5), (4, 5), (5, 5)]))
        for model in models
        for progress in passes
    ]
    [preview] = [event for event in events if isinstance(event, Explanation)]

    patch = patch_around(WINDOW, SIDE, SCALE, lr, hr)
    for explanation, settings in ((preview, PREVIEW), (found, SETTINGS)):
        for model, attribution in zip(models, explanation.attributions, strict=True):
            alone = LocalAttributionMap(model).explain(patch.lr, patch.region, settings, at_once=2)
            np.testing.assert_array_equal(attribution.values, alone.values)
    for model, row in zip(models, found.rows, strict=True):
        place = {"x": 60, "y": 41, "size": 12, "patch": {"x": 21, "y": 11, "width": SIDE, "height": SIDE}}
        assert row["settings"].items() >= {**place, "steps": 5, "hr": True, "at_once": 2}.items()
        scores = region_scores(quantize(model(patch.lr)), hr[..., 22 : 22 + 48, 42 : 42 + 48], patch.region)
        assert (row["psnr_y"], row["ssim_y"]) == scores
    axes = found.figure("face", {"promptsr-tiny-x2": "Ours"}).axes
    written = {text.get_text() for each in axes for text in each.texts}
    assert {"Ours", "bicubic-x2"} <= written and "promptsr-tiny-x2" not in written


def test_without_hr_there_are_no_scores_and_closing_stops_the_work(hr: Tensor) -> None:
    passes: list[object] = []
    model, lr = load_model("bicubic-x2"), make_lr(hr, SCALE)
    [row] = finish(explain_window([model], lr, WINDOW, settings=SETTINGS)).rows
    assert row["psnr_y"] is row["ssim_y"] is None and not row["settings"]["hr"]
    assert row["settings"]["patch"] == {"x": 0, "y": 0, "width": 48, "height": 40}  # no side: the whole image

    model.network.register_forward_pre_hook(lambda *call: passes.append(call))
    work = explain_window([model], lr, WINDOW, settings=SETTINGS, at_once=1)
    while not (isinstance(event := next(work), Attributing) and event.progress):
        pass
    done = len(passes)
    work.close()
    assert len(passes) == done and next(work, None) is None


@pytest.mark.parametrize(
    ("models", "window", "message"),
    [
        ([SRModel("graph", SCALE, Bicubic(SCALE), differentiable=False)], WINDOW, "graph gives no gradients"),
        ([load_model("bicubic-x2"), load_model("bicubic-x3")], WINDOW, "compare models of one scale"),
        ([load_model("bicubic-x2")], Region(84, 0, 12), r"window of 12 pixels at \(84, 0\) does not lie in"),
        ([load_model("bicubic-x2")], Region(0, 0, 60), "A patch of 24 input pixels is too small for a window of 60"),
    ],
)
def test_refusals(hr: Tensor, models: list[SRModel], window: Region, message: str) -> None:
    with pytest.raises(UserError, match=message):
        next(explain_window(models, make_lr(hr, SCALE), window, side=SIDE))
