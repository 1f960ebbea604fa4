# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train one yourself
#
# The paper trains for 500 000 steps of 48 crops; the bundled weights took two CPU cores hours. What is possible in a
# few minutes? This notebook trains a small network for x2 on a few photographs, **and checks that it learned**: the
# loss must fall, and unseen photographs must come out better than by bicubic interpolation.
#
# You will
# 1. put photographs aside that the training never sees,
# 2. write a recipe, and look at the input of one step,
# 3. train, with a live curve,
# 4. check the result, on photographs seen and unseen,
# 5. look at the result beside bicubic interpolation and the truth.
#
# The same from a terminal: `promptsr train configs/cpu-night-x4.yaml data=photos/ validation=kodak/ --out runs/mine`.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from analysis.common.image_windows import Region
from analysis.common.samples import write_samples
from analysis.comparison.compare import compare
from analysis.comparison.figure import draw_comparison
from analysis.tour.walk import shrink
from promptsr import PromptSR, load_model
from promptsr.config import preset
from promptsr.data import load_hr, make_lr
from promptsr.data.cache import ImagesRead, read_images
from promptsr.data.crops import Draw, RandomCrops
from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import Evaluation, evaluate, score_pair
from promptsr.imaging import decode, encode, find_images
from promptsr.imaging.picture import Picture, to_pixels
from promptsr.support.progress import finish
from promptsr.training import Recipe, TrainReport, train

QUICK = "PROMPTSR_QUICK" in os.environ  # a tiny network and few steps, for the tests
PHOTOS = os.environ.get("PROMPTSR_PHOTOS")  # a folder of photographs of your own, the more the better
pd.set_option("display.precision", 2)

# %% [markdown]
# ## 1. Photographs, kept apart
#
# A network with tens of thousands of weights can memorise a few photographs. Its score on them says little about
# others, so every third one is put aside for **validation**, and never used for training. Two crops of one photograph
# would not do: they share light, colours and texture.
#
# Name a folder in `PROMPTSR_PHOTOS`, and up to 60 of its photographs are used. Without it there are six samples, of
# which four remain for training. *That is far too little for a good network.* All are scaled down, which also removes
# most of the noise and the JPEG artefacts.

# %%
folder = Path(tempfile.mkdtemp())
if not PHOTOS:
    write_samples(folder / "samples", 640)
paths = find_images(Path(PHOTOS) if PHOTOS else folder / "samples")[:60]
validation = paths[2::3] or paths[-1:]
for number, path in enumerate(paths):
    small = shrink(decode(path).to_tensor(), 160 if QUICK else 640)
    part = "validation" if path in validation else "train"
    (folder / part).mkdir(exist_ok=True)
    encode(Picture(to_pixels(small[0].permute(1, 2, 0), 8)), folder / part / f"{number:02}_{path.stem}.png")
seen, unseen = find_images(folder / "train"), find_images(folder / "validation")
print(f"{len(seen)} to train on: {', '.join(path.stem for path in seen)}")
print(f"{len(unseen)} to validate: {', '.join(path.stem for path in unseen)}")

# %% [markdown]
# ## 2. The recipe
#
# A `Recipe` holds all settings of a training, as a YAML file in `configs/` does. This one trains a smaller
# `promptsr-tiny`: two residual groups with a block each. Note:
#
# - `bicubic_skip`: the network predicts what to **add** to the bicubic enlargement, and starts at zero. So its first
#   loss is that of bicubic interpolation, and no time is spent on learning to copy the image.
# - The loss is the mean absolute error (eq. 5). Matrices are trained by Muon, the rest by Adam, and the rates fall to
#   zero along a cosine.
# - `ema`: a running average of the weights is validated and kept, which is better than the last weights.
# - LR images are made by bicubic interpolation. To undo another degradation, name a folder of LR images of your own by
#   `data_lr`, with names such as `photo.png` or `photox2.png` for `photo.png`, and their like for the validation by
#   `validation_lr`.

# %%
recipe = Recipe(
    data=(str(folder / "train"),),
    validation=str(folder / "validation"),
    validation_images=4,
    model=preset("promptsr-tiny", scale=2, groups=2, blocks_per_group=1, channels=8 if QUICK else 32),
    steps=8 if QUICK else 500,
    batch=8,
    patch=16 if QUICK else 32,
    warmup=20,
    ema=0.99,
    report_every=2 if QUICK else 20,
    validate_every=4 if QUICK else 100,
    device="cpu",
    cache=str(folder / "cache"),
)
weights = sum(parameter.numel() for parameter in PromptSR(recipe.model).parameters())
print(f"{weights:,} weights; {recipe.steps} steps, each with {recipe.batch} crops of {recipe.patch} x {recipe.patch}")

# %% [markdown]
# The input of the first step: LR crops (top) and their targets (bottom), flipped and turned at random. Crops are drawn
# more often where there is texture, since a clear sky teaches little.

# %%
crops = RandomCrops(finish(read_images(find_pairs(folder / "train", None), 2, folder / "cache")).images, 2, recipe.seed)
figure = Figure(figsize=(10, 2.6), layout="constrained")
for column, pair in enumerate(zip(*figure.subplots(2, recipe.batch), strict=True)):
    for axes, crop in zip(pair, crops[Draw(0, column, recipe.patch)], strict=True):
        axes.imshow(crop.permute(1, 2, 0), interpolation="none")
        axes.set_axis_off()
figure

# %% [markdown]
# ## 3. Train
#
# `train` is a generator: it yields reports, and `finish` passes each to our function, which redraws the curve. The loss
# is that of the latest crops, so it varies with them; the PSNR is measured on the photographs that were put aside. The
# dashed line is bicubic interpolation.

# %%
bicubic = load_model("bicubic-x2")
validated = find_pairs(folder / "validation", None)[: recipe.validation_images]
baseline = Evaluation(bicubic.name, 2, list(evaluate(bicubic, validated))).psnr_y  # without perfect images, if any
reports: list[TrainReport] = []


def draw_curve() -> Figure:
    """Loss and validation PSNR so far."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    losses.plot([report.step for report in reports], [report.loss for report in reports], ".-", color="#4878a8")
    losses.set(xlabel="step", ylabel="loss (mean absolute error)", xlim=(0, recipe.steps))
    measured = [(report.step, report.psnr_y) for report in reports if report.psnr_y is not None]
    scores.plot(*zip(*measured, strict=True) if measured else ([], []), "o-", color="#c44e52", label="this network")
    scores.axhline(baseline, color="grey", linestyle="--", label="bicubic")
    scores.set(xlabel="step", ylabel="PSNR-Y, validation (dB)", xlim=(0, recipe.steps))
    scores.legend(loc="lower right")
    return figure


def note(told: ImagesRead | TrainReport) -> None:
    """Redraws the curve when there is something new."""
    if isinstance(told, TrainReport):
        reports.append(told)
        curve.update(draw_curve())


curve = display(draw_curve(), display_id=True)
outcome = finish(train(recipe, folder / "run"), note)

# %% [markdown]
# ## 4. Did it learn?
#
# The loss of the first and of the last quarter of the steps, and then what counts: PSNR on every photograph. The gain
# over bicubic interpolation on training photographs proves nothing; the gain on the others does. For comparison, the
# bundled `promptsr-tiny-x2`: more blocks, one hundred photographs, hours of training.

# %%
quarter = max(1, len(reports) // 4)
first, last = (float(np.mean([report.loss for report in part])) for part in (reports[:quarter], reports[-quarter:]))
print(f"Loss {first:.4f} in the first quarter, {last:.4f} in the last: {100 * (last / first - 1):+.0f} %")
mine, bundled = load_model(str(outcome.weights)), load_model("promptsr-tiny-x2")
mine = replace(mine, name="this network")
rows = [
    (part, path.stem, *(score_pair(model, path, None).psnr_y for model in (bicubic, mine, bundled)))
    for part, group in (("seen", seen[:4]), ("unseen", unseen[:4]))
    for path in group
]
# Flat photographs, which bicubic interpolation restores perfectly, cannot gain.
rows = [row for row in rows if row[2] != np.inf]
scores = pd.DataFrame(rows, columns=["", "photograph", "bicubic", "this network", "bundled"])
scores["gain"] = scores["this network"] - scores["bicubic"]
scores["gain, bundled"] = scores["bundled"] - scores["bicubic"]
scores = scores.set_index(["", "photograph"])
gains = scores[["gain", "gain, bundled"]].groupby(level=0).mean()
gains["share (%)"] = 100 * gains["gain"] / gains["gain, bundled"]
scores

# %%
if not QUICK:  # eight steps teach nothing
    assert last < first, "the loss did not fall: try a lower lr and matrix_lr"
    assert (scores.loc["unseen", "gain"] > 0).all(), "bicubic is better on a photograph: train longer, or on more"
    print("The loss fell, and every photograph that was put aside comes out better than by bicubic interpolation.")
gains

# %% [markdown]
# Is a larger gain on the photographs seen a sign of over-fitting? Not by itself: some photographs have more to gain
# than others. The bundled network has seen none of them, so it is the reference: *share* is how much of its gain this
# one reaches. If that share is larger on the seen ones, part of what was learned holds for these photographs alone.
#
# ## 5. Look at it
#
# A part of a photograph that was put aside; the best scores are bold.

# %%
hr = load_hr(unseen[0], 2)
size = 48 if QUICK else 72
region = Region(x=(hr.shape[3] - size) // 2, y=(hr.shape[2] - size) // 2, size=size)
draw_comparison(finish(compare([bicubic, mine, bundled], make_lr(hr, 2), hr)), region, unseen[0].stem)

# %% [markdown]
# ## What to conclude, and what not
#
# - Minutes are enough to beat bicubic interpolation, but not to approach the limit of this architecture.
# - Four photographs are few. The two shares and the validation curve show whether more photographs, more steps or a
#   larger network would help: if the curve is flat while the loss still falls, more steps are of no use.
# - Validation photographs choose the weights that are kept, so even they are not fully unseen. For a figure to publish,
#   measure others: `promptsr evaluate --bench`.
#
# To use the weights elsewhere, copy `best.safetensors` out of the run's folder. Every command accepts its path as the
# name of a model: `promptsr upscale photo.jpg --model best.safetensors`.
#
# ## Exercises
#
# 1. Train with `bicubic_skip=False`, and with `optimizer="adam"`. How long until bicubic interpolation is reached?
# 2. Train on one photograph alone. How far apart are the gains in the seen and the unseen now?
# 3. Train for x4 (`scale=4`). By how much is bicubic interpolation beaten in the same time?
# 4. Put photographs of your own into a folder, and name it in `PROMPTSR_PHOTOS`. Which columns change, and how?
#
# Before: [06](06_complexity.ipynb). Next: [08, Can you trust this map?](08_can_you_trust_this_map.ipynb)
