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
# # Can you trust this map?
#
# [Notebook 02](02_local_attribution.ipynb) builds local attribution maps (LAM). Papers show them as evidence. But a map
# looks convincing whether or not it is true, and looking at it does not tell. This notebook asks the network.
#
# You will
# 1. look at two maps, one of which is false, and fail to tell which,
# 2. blur the pixels that a map calls important, and see what the window does (*deletion*),
# 3. find out why almost any map passes that test, and make it harder,
# 4. compare what a map foretells with what happens (*infidelity*),
# 5. ask whether the map needs the trained weights at all (*sanity*).
#
# Three functions are exercises: unfold one, empty it, and write your own; `check` says whether it is right.
#
# For a folder of images: `python -m analysis lam-check DIR --model promptsr-x4 --out OUT`; on the page: *Is it
# true?* in the tab Attribution.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor

from analysis import LocalAttributionMap, PathSettings, Region
from analysis.ablations.networks import untrained
from analysis.common.samples import write_samples
from analysis.lam.blur_path import BlurPath
from analysis.lam.faithfulness import ORDERS, PARTS, check_faithfulness, infidelity_of
from analysis.lam.faithfulness_figure import draw_faithfulness
from analysis.lam.figure import overlay
from analysis.lam.sanity import check_sanity
from analysis.tour.exercises import check
from promptsr import load_model
from promptsr.data import load_hr, make_lr
from promptsr.support.progress import finish

QUICK = "PROMPTSR_QUICK" in os.environ  # few steps, for the tests

# %% [markdown]
# ## 1. Two maps, one of them false
#
# The photograph, the window and the network of notebook 02. One of these maps is LAM's. The other is the same map,
# mirrored beyond the window's own pixels: nothing in it is true there.

# %%
folder = Path(tempfile.mkdtemp())
write_samples(folder, 512)
left, top, side = 48, 96, 192
hr = load_hr(folder / "china.png", 4)[:, :, top : top + side, left : left + side]
lr = make_lr(hr, 4)
region = Region(x=74 - left, y=156 - top, size=16)
network, bicubic = load_model("promptsr-x4"), load_model("bicubic-x4")
settings = PathSettings(steps=8, rule="trapezoid") if QUICK else PathSettings()
true_map = LocalAttributionMap(network).explain(lr, region, settings)

rows, columns = np.indices(lr.shape[2:])
middle = [(start + region.size / 2) / 4 - 0.5 for start in (region.y, region.x)]  # of the window, in input pixels
near = (abs(rows - middle[0]) < 4) & (abs(columns - middle[1]) < 4)
near |= near[::-1, ::-1]  # and the place that its mirror image would take
false_map = replace(true_map, values=np.where(near, true_map.values, true_map.values[:, ::-1, ::-1]).copy())

image = lr[0].permute(1, 2, 0).numpy()  # 1 x 3 x H x W -> H x W x 3
figure = Figure(figsize=(7, 3.6))
for axes, shown, title in zip(figure.subplots(1, 2), (false_map, true_map), ("A", "B"), strict=True):
    axes.imshow(overlay(shown, image))
    axes.set_title(title)
    axes.axis("off")
figure

# %% [markdown]
# A is the false one. Did you know?
#
# ## 2. Deletion: blur what the map calls important
#
# LAM attributes the change of the window along a path from a blurred input to the sharp one. So a pixel is taken away
# by its blurred value. If a map is true, the window changes quickly when its first pixels go.
#
# **Exercise 1.** The input with a share of its pixels blurred, the ones of the lowest rank (0 is the first). Round the
# number of pixels.

# %%
blurred = BlurPath(lr, PathSettings()).points([0])


# %% jupyter={"source_hidden": true}
def delete(rank: Tensor, share: float) -> Tensor:
    """H x W ranks -> 1 x 3 x H x W."""
    return torch.where(rank < round(share * rank.numel()), blurred, lr)


def ranks(importance: np.ndarray) -> Tensor:
    """H x W, the more the earlier -> H x W, 0 for the first."""
    order = np.argsort(-importance, axis=None, kind="stable")
    found = np.empty(order.size, dtype=np.int64)
    found[order] = np.arange(order.size)
    return torch.from_numpy(found.reshape(importance.shape))


wanted = lr.clone()
wanted[..., :2, :] = blurred[..., :2, :]
check(delete, torch.arange(lr[0, 0].numel()).view(lr.shape[2:]), 2 / lr.shape[2], expected=wanted)

# %%
shares = (0, 0.004, 0.016, 0.06, 0.14, 0.25, 0.5, 1)
chance = np.random.default_rng(0)
orders = {
    "the true map": true_map.map,
    "the false map": false_map.map,
    "the nearest first": -np.hypot(rows - middle[0], columns - middle[1]),
    "by chance": chance.random(rows.shape),
}


def change(rank: Tensor, share: float) -> float:
    """Root mean square change of the window, in grey levels."""
    with torch.no_grad():
        before, after = (region.crop(network(x)) for x in (lr, delete(rank, share)))
    return 255 * float((after - before).square().mean().sqrt())


curves = pd.DataFrame({name: [change(ranks(each), share) for share in shares] for name, each in orders.items()})
curves.index = pd.Index([f"{100 * share:g} %" for share in shares], name="blurred")
curves.round(2)

# %% [markdown]
# The true map beats chance by far. But so does the false one, and so does a rule without any map: *take the nearest*.
# A window of 16 x 16 output pixels lies above 4 x 4 input pixels, and they make most of it. Every map that begins with
# them passes. Reports that compare a map with chance alone report this.
#
# ## 3. A harder test: only pixels that are far
#
# LAM is shown for what it says about *distant* pixels. So leave all within 8 input pixels of the window sharp, and let
# the orders compete among the others. `check_faithfulness` does both tests, with the plain gradient as another rival,
# and insertion (pixels put back into the blurred image) for all pixels.

# %%
checks = {
    name: finish(check_faithfulness(network, lr, each, hr))
    for name, each in (("true map", true_map), ("false map", false_map))
}
draw_faithfulness(pd.concat([each.curves.assign(model=name) for name, each in checks.items()]), list(checks))

# %%
summary = pd.DataFrame(
    {
        f"{part}: map against {order}": [each.ratio(order, part) for each in checks.values()]
        for part in PARTS
        for order in ORDERS[1:]
    },
    index=list(checks),
).T
summary.round(2)

# %% [markdown]
# Each number is the change of the window by the map's first 1.6 % of the pixels, as a multiple of the change by another
# order's. For all pixels both maps are about as good as the nearest pixels. Far from the window the first 1.6 % do not
# tell them apart either: the false map passes once more. Its curve gives it away, for after that it runs no higher than
# chance, where the true map's does for a while. Later the curves cross, and blurring half of the far pixels can change
# the window more than blurring all of them. One number is an anecdote, and so is one window: `lam-check` averages over
# many, with intervals.
#
# ## 4. Infidelity: what the map foretells, and what happens
#
# Attributions add up, so a map foretells what the detector loses when a square of the input is blurred: the sum of the
# square's attributions.
#
# **Exercise 2.** That sum, from the attributions by channel and a mask of the square.


# %% jupyter={"source_hidden": true}
def foretold(values: np.ndarray, square: np.ndarray) -> float:
    """3 x H x W and H x W, boolean -> a number."""
    return float(values[:, square].sum())


check(foretold, np.ones((3, 4, 4)), np.eye(4, dtype=bool), expected=12.0)

# %%
lam = LocalAttributionMap(network)
size = lr.shape[2] // 8
with torch.no_grad():
    sharp = float(lam.detect(lr, region))
squares = [(rows // size == i) & (columns // size == j) for i in range(8) for j in range(8)]
happened = []
for square in squares:
    with torch.no_grad():
        happened.append(sharp - float(lam.detect(torch.where(torch.from_numpy(square), blurred, lr), region)))
said = {
    name: [foretold(each.values, square) for square in squares]
    for name, each in (("true", true_map), ("false", false_map))
}
seen = np.array(happened)


def infidelity(values: list[float], where: np.ndarray) -> float:
    """What the map foretells for 64 squares, and which of them count -> a number."""
    return float(((np.array(values) - seen)[where] ** 2).sum() / (seen[where] ** 2).sum())


everywhere = np.ones(len(squares), dtype=bool)
far = np.array([not (square & near).any() for square in squares])  # where the maps differ
infidelities = {name: [infidelity(values, where) for where in (everywhere, far)] for name, values in said.items()}
# As `lam-check` has it; asked one by one like these, for in a batch a last digit may choose another category.
same = infidelity_of(network, lr, true_map, at_once=1)
assert np.isclose(infidelities["true"][0], same, rtol=1e-3)

figure = Figure(figsize=(7, 3.4), layout="constrained")
for axes, (name, values) in zip(figure.subplots(1, 2, sharex=True, sharey=True), said.items(), strict=True):
    axes.axline((0, 0), slope=1, color="#c5cad0", linewidth=1)
    axes.scatter(np.array(values)[far], seen[far], s=14)
    axes.set(title=f"{name} map, far squares", xlabel="foretold", ylabel="change of the detector")
display(figure)
pd.DataFrame(infidelities, index=["all squares", "far squares"]).T.round(3)

# %% [markdown]
# The infidelity is the mean squared distance from the line, as a share of the mean square of what happens: 0 for a map
# that foretells all, 1 for a map of zeros. Over all squares it is small for both maps, because the few squares at the
# window decide it, and there the maps are the same. Over the far squares alone it says what the picture is worth: a
# value near 1 or above foretells no more than a map of zeros. Where the network is not linear, no map foretells all.
#
# ## 5. Sanity: does the map need the trained weights?
#
# A map that a network with shuffled weights has too says something about the architecture or the window, and nothing
# about what was learned (Adebayo et al., "Sanity Checks for Saliency Maps", 2018).
#
# **Exercise 3.** Shuffle a tensor: the same values in another order, which `order` gives.


# %% jupyter={"source_hidden": true}
def shuffle(weight: Tensor, order: Tensor) -> Tensor:
    """Any shape, and as many indices as it has values -> the same shape."""
    return weight.flatten()[order].view_as(weight)


check(shuffle, torch.arange(4.0).view(2, 2), torch.tensor([3, 2, 1, 0]), expected=torch.tensor([[3.0, 2], [1, 0]]))

# %%
models = (network, untrained(network, seed=0), bicubic)
sane = [finish(check_sanity(model, lr, region, stages=(1.0,) if QUICK else (0.25, 0.5, 0.75, 1.0))) for model in models]
sanity = pd.DataFrame(
    [each.correlations for each in sane],
    index=["trained", "untrained", "bicubic"],
    columns=[f"{100 * share:g} % of the layers" for share in sane[0].shares],
)
sanity.round(2)

# %% [markdown]
# Rank correlations with the map of the network as it is. The trained network's map needs its weights. That of the
# untrained one needs them less: where weights are random anyway, much of a map comes from the architecture and the
# image. Bicubic interpolation has no weights at all.
#
# ## What to conclude, and what not
#
# - A map is a claim. Deletion, infidelity and sanity are three ways to find it false; none proves it true.
# - "Far better than chance" is no praise for a map of a super-resolution network: *the nearest pixels* are, too.
# - What a map says about distant pixels is worth as much as the lower panels show. They can contradict the picture.
# - Blurring makes images that the network never saw. What it does with them is part of the answer.
#
# ## Exercises
#
# 1. Replace the false map by the plain gradient of the detector. Which test tells them apart?
# 2. Choose another window, on the sky, and one on the roof. Which of your conclusions hold?
# 3. Load another network (`PROMPTSR_MODELS`), and run `lam-check` on a folder of yours for both.
# 4. Make the test harder still: beyond 16 pixels. What is left?
#
# Before: [07](07_train_your_own.ipynb)
