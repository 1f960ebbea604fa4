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
# # Where does a pixel look?
#
# The paper's Fig. 3 shows two *similarity maps*: with the coarse one the anchors read the image, with the fine one
# every pixel reads the anchors. What do they tell? Random weights have such maps as well, so every answer has a
# control.
#
# You will
# 1. make both maps by hand, and follow one pixel through them,
# 2. test **whether they show what a pixel depends on**, and whether their reach changes over depth,
# 3. test whether categories follow the content of the image, and how much of all this reaches the output.
#
# The same from a terminal: `python -m analysis attention`, `categories` and `receptive-field` (see `--help` of each).

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.ablations.networks import fresh, switched_off_series, untrained
from analysis.attention.category_figure import draw_agreement, draw_categories
from analysis.attention.depth import over_depth
from analysis.attention.figure import draw_attention, draw_depth
from analysis.attention.jacobian import attention_branch, rank_correlation
from analysis.attention.maps import LAYERS, look
from analysis.attention.pixel import attention_at
from analysis.attention.receptive_field import receptive_field
from analysis.attention.receptive_field_figure import draw_receptive_fields
from analysis.attention.superpixels import superpixel_study
from analysis.attention.weight_maps import reach
from analysis.common.samples import write_samples
from promptsr import load_model
from promptsr.data import load_pair
from promptsr.imaging.picture import to_array
from promptsr.model.taps import record
from promptsr.support.progress import finish

QUICK = "PROMPTSR_QUICK" in os.environ  # a small image and few pixels, for the tests
PEER = os.environ.get("PROMPTSR_PEER")  # path of another network's x4 checkpoint, such as HPINet-M-x4.pth
pd.set_option("display.precision", 3)

# %% [markdown]
# ## 1. Two maps, by hand
#
# A cascade prompting block starts with the global anchor prompting layer. Its features $X$ are projected to queries
# $Q$, keys $K$ and values $V$, one for each of the $HW$ pixels. A convolution of stride $d$ makes the $n = HW/d^2$
# anchors $A$. The anchors read the pixels (eq. 7), and the pixels read the anchors (eq. 9 and 10):
#
# $$M_{coarse} = A K^\top / \sqrt C, \quad P = \mathrm{softmax}(M_{coarse}) \, V, \qquad
# M_{fine} = Q (K_P + A)^\top / \sqrt C, \quad X_P = \mathrm{softmax}(M_{fine}) \, V_P.$$
#
# $K_P$ and $V_P$ are made from $P$ by 3 x 3 convolutions over the grid of anchors. We record the layer's input with a
# hook, use its weights, and compare with the values at its *taps*. The pixel is on the left eye of a cat.

# %%
folder = Path(tempfile.mkdtemp())
write_samples(folder, 192 if QUICK else 387)
model = load_model("promptsr-x4")
network: Any = model.network
_, lr = load_pair(folder / "chelsea.png", model.scale)
height, width = lr.shape[2:]
group, block = network.config.groups - 1, network.config.blocks_per_group - 1  # the last one, counted from 0
x, y = round(0.38 * width), round(0.35 * height)

layer = network.groups[group].blocks[block].global_prompting
path = f"groups.{group}.blocks.{block}.global_prompting"
inputs: list[Any] = []
handle = layer.register_forward_pre_hook(lambda module, args: inputs.extend(args))
with torch.no_grad(), record(network, [f"{path}.coarse_map", f"{path}.fine_map"]) as seen:
    network(lr)
    handle.remove()
    features, before = inputs  # 1 x H x W x C, and the anchor prompts of the block before, 1 x n x C
    tokens = features.flatten(1, 2)  # 1 x HW x C
    grid = layer.downscale(features.permute(0, 3, 1, 2))  # 1 x C x H/d x W/d
    a = layer.anchor(grid.flatten(2).transpose(1, 2))  # 1 x n x C
    coarse = torch.softmax(a @ layer.key(tokens).transpose(1, 2) / a.shape[-1] ** 0.5, dim=-1)  # 1 x n x HW
    prompts = layer.alpha * before + (1 - layer.alpha) * coarse @ layer.value(tokens)  # eq. 8
    prompts = prompts.transpose(1, 2).unflatten(2, grid.shape[2:])  # 1 x C x H/d x W/d
    keys = layer.prompt_key(prompts).flatten(2).transpose(1, 2) + a  # 1 x n x C
    fine = torch.softmax(layer.query(tokens) @ keys.transpose(1, 2) / a.shape[-1] ** 0.5, dim=-1)  # 1 x HW x n
by_hand = {"coarse": coarse[0], "fine": fine[0]}
equal = {kind: torch.allclose(m, seen[f"{path}.{kind}_map"][0].softmax(1), atol=1e-6) for kind, m in by_hand.items()}
row_sums = {kind: [float(end) for end in m.sum(1).aminmax()] for kind, m in by_hand.items()}
print(f"LR image {width} x {height}, pixel ({x}, {y}), group {group + 1}, block {block + 1}, C = {a.shape[-1]}")
for kind, m in by_hand.items():
    print(f"softmax(M_{kind}), {m.shape[0]} x {m.shape[1]}: by hand and by the network ", end="")
    print("the same;" if equal[kind] else "not the same;", "rows sum to {:.6f} to {:.6f}".format(*row_sums[kind]))

# %% [markdown]
# From pixel to pixel it is a product: the weight of each anchor, times the weights with which that anchor read. This is
# the *composed map*, one row of $\mathrm{softmax}(M_{fine}) \, \mathrm{softmax}(M_{coarse})$; `look` computes it for
# any pixel.

# %%
maps = look(network, lr, group=group, block=block)
product = (by_hand["fine"][maps.grid.index(x, y)] @ by_hand["coarse"]).numpy().reshape(height, width)
composed_equal = np.allclose(product, maps.composed(x, y).values, rtol=1e-4, atol=0)
print("Composed map by hand and by `look`:", "the same" if composed_equal else "not the same")

# %% [markdown]
# ## 2. One pixel
#
# First row: the anchors that the pixel attends to, and what the three strongest have read. Second row: the composed
# map, the Jacobian (see below), and the pixels of its category group. Third row: its windows, head by head.
#
# All maps share one scale, in multiples of an even spread: one that is uniform to a few per cent has one colour, one
# with a single peak has many. Anchors at the border may stand out whatever the picture shows, since the convolution
# that makes them sees zeros beyond the image.

# %%
branch = attention_branch(network, lr, group=group, block=block)
photo = to_array(lr)
pixel = attention_at(maps, branch, photo, x, y)
asked = pixel.weights["fine"].values  # h x w anchors, of sum 1
inner = asked[1:-1, 1:-1]
print(f"{100 * (1 - inner.size / asked.size):.0f} % of the anchors lie at the border;", end=" ")
print(f"they get {100 * (1 - inner.sum()):.0f} % of the weight.")
draw_attention(pixel, "chelsea")

# %% [markdown]
# ## 3. Does the pixel depend on what it looks at?
#
# A weight is not an influence. The values may be about the same everywhere; anchors and keys also depend on pixels; and
# the convolutions of eq. 9 mix neighbouring prompts. The **Jacobian** $J$ of the attention branch contains all of this:
# how its output at this pixel changes with the features of every other pixel. Its norm for each source pixel is a map
# as well, whose ranks are compared with those of the composed map (Spearman, in the figure). Ranks ignore sizes, so:
# how many pixels take part, as if all had equal shares, and what stands out?

# %%
for name in ("composed", "jacobian"):
    values, [found] = pixel.weights[name].values, pixel.reach(name)
    share = (found.effective if found else 0) / values.size
    print(f"{name}: effective number {100 * share:.0f} % of all, highest {values.max() / values.mean():.0f}", end=" ")
    print(f"x mean, the pixel itself {values[y, x] / values.mean():.3g} x mean")

# %% [markdown]
# Now for every block, as the mean over some pixels (the chart below has 95 % intervals), and for fresh random weights.
# Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018) ask for this control: whatever random weights also
# show is due to the architecture and the image, not to training.

# %%
count, seeds = (4, [0]) if QUICK else (9, [0, 1, 2])
study = finish(over_depth(network, lr, pixels=count, jacobian=True))
controls = [finish(over_depth(fresh(network.config, s), lr, pixels=count, jacobian=True)).table for s in seeds]
names = [f"{g}.{b}" for g, b in zip(study.table["group"], study.table["block"], strict=True)]


def beside(column: str) -> pd.DataFrame:
    """A column of the trained network, and the lowest and the highest of the untrained ones, by block."""
    fresh_ones = np.array([table[column] for table in controls])  # networks x blocks
    found = {"untrained, lowest": fresh_ones.min(0), "untrained, highest": fresh_ones.max(0)}
    return pd.DataFrame({"trained": study.table[column].to_numpy(), **found}, pd.Index(names, name="group.block"))


spearman = beside("spearman")
spearman

# %%
above = (spearman["trained"] > spearman["untrained, highest"]).sum()
most = spearman["untrained, highest"].idxmax()
print(f"In {above} of {len(names)} blocks the correlation is higher than with any random weights drawn here;", end=" ")
print(f"these reach {spearman.loc[most].iloc[2]:.2f} in block {most} (trained: {spearman.loc[most].iloc[0]:.2f}).")

# %% [markdown]
# A second control: is it the map of **this** pixel? Each pixel's composed map is compared with the Jacobian of every
# other one. And are the Jacobians of two pixels alike? Then all pixels read much the same, and the maps are not to
# blame.

# %%
norms, composed = [branch.norm(*p) for p in study.pixels], [maps.composed(*p) for p in study.pixels]
rows = np.array([[rank_correlation(one, norm) for norm in norms] for one in composed])
own, other = np.diag(rows).mean(), rows[~np.eye(count, dtype=bool)].mean()
alike = np.mean([rank_correlation(one, norm) for one, norm in combinations(norms, 2)])
print(f"Spearman of a composed map with its own Jacobian {own:.3f}, with that of another pixel {other:.3f};", end=" ")
print(f"of the Jacobians of two pixels {alike:.3f}")

# %% [markdown]
# ## 4. Over depth
#
# At an entropy of 1 (share of the maximum) attention is uniform. And "looks far" may only mean "looks everywhere".

# %%
draw_depth(study.table)

# %%
even = np.mean([found.distance for p in study.pixels if (found := reach(np.ones((height, width)), *p))])
effective, distance = study.table["effective_pixels"], study.table["distance"]
print(f"An even map reads {height * width} pixels, at a mean distance of {even:.1f}.")
print(f"Composed maps read {effective.min():.0f} to {effective.max():.0f}, the fewest in block ", end="")
print(f"{names[int(effective.argmin())]}, at a mean distance of {distance.min():.1f} to {distance.max():.1f}.")
trend = distance.corr(pd.Series(range(len(names))), method="spearman")
print(f"Rank correlation of distance and depth: {trend:+.2f} over {len(names)} blocks")
beside("effective_pixels").round(0)

# %% [markdown]
# With so few blocks a rank correlation below about 0.6 means nothing. Similarities of random weights are small, so
# their maps are even: *all contrast was learned.*
#
# ## 5. Windows and groups
#
# *Window attention* stays within 16 x 16 pixels, in the second layer in shifted windows; the chart above has its
# distance by head. *Category attention* sorts the pixels by category and cuts that list into groups of equal size,
# whose members attend to each other **wherever they lie**. Where is that?

# %%
rows_of = {}
control = look(fresh(network.config), lr, group=group, block=block)
for label, each in (("trained", maps), ("untrained", control)):
    for kind in LAYERS:
        inside = [(p, each.members(*p, kind), each.windows(*p, kind).values.any(0)) for p in study.pixels]
        beyond = np.mean([100 * (m & ~window).sum() / m.sum() for _, m, window in inside])
        far = np.mean([found.distance for p, m, _ in inside if (found := reach(m, *p))])
        rows_of[f"{kind}, {label}"] = [np.mean([m.sum() for _, m, _ in inside]), beyond, far]
groups = pd.DataFrame(rows_of, index=["members", "beyond the window (%)", "mean distance (px)"]).T
groups.round(1)

# %% [markdown]
# A group reaches beyond the window, with random weights too: any sorting of pixels does that. A large category has more
# pixels than a group and is cut in reading order: look for stripes along the rows in the figure of section 2.
#
# ## 6. Categories
#
# A pixel belongs to the anchor most similar to it: by $M_{fine}$ to the one it attends to most, by $M_{coarse}$ to the
# one whose query fits its key best (the largest entry of a *column*; the softmax goes along the rows).

# %%
categories = superpixel_study(network, lr)
labels = {kind: categories.maps.of(kind)[-1].labels for kind in LAYERS}  # of the last block, H x W
of_pixels = {"coarse": seen[f"{path}.coarse_map"][0].argmax(0), "fine": by_hand["fine"].argmax(1)}  # HW
same = {kind: float((of_pixels[kind].view(height, width).numpy() == labels[kind]).mean()) for kind in LAYERS}
print("The same by hand and by `categories`:", ", ".join(f"{100 * same[k]:.1f} % of {k} categories" for k in LAYERS))
draw_categories(categories.maps, photo)

# %% [markdown]
# The key at the left gives each anchor the colour of its place. Where a map looks like the key, pixels belong to the
# anchor next to them. Where a few colours cover all, most anchors have no pixels, and groups follow reading order.
#
# Do they follow the content? SLIC superpixels are a simple partition of the image into parts of one colour. The
# adjusted Rand index is 1 for the same partition and 0 on average by chance. It penalises categories that span many
# superpixels; homogeneity does not. Controls: random weights, shuffled labels, and the plain grid of anchors, which is
# independent of the image and still agrees, as superpixels are compact too. Right: from block to block.

# %%
print(categories.finding)
draw_agreement(categories)

# %% [markdown]
# ## 7. What reaches the output
#
# All this was about single layers. The **effective receptive field** (Luo et al., NeurIPS 2016) covers the whole
# network: the size of the gradient of the middle pixel's output with respect to every input pixel. The squares hold
# half and 99 % of it. Bicubic interpolation must give a few pixels; random weights show what the architecture alone
# gives. "Anchor only" has the trained weights, with category attention switched off.

# %%
anchor_only = switched_off_series(model)[1]
models = [load_model("bicubic-x4"), untrained(model), anchor_only, model, *([load_model(PEER)] if PEER else [])]
fields = [receptive_field(each, [lr]) for each in models]
top, left = height // 2 - 8, width // 2 - 8
square = slice(top, top + 16), slice(left, left + 16)
strips = square[0], np.s_[:, square[1]]  # the middle rows, and columns
stripes = {f.model: [f.map[strip].sum() - f.map[square].sum() for strip in strips] for f in fields}
print("Beyond the middle 16 x 16 pixels:")
for name, (across, down) in stripes.items():
    print(f"{name}: {100 * across:.1f} % in their rows, {100 * down:.1f} % in their columns")
even_ratio = (width - 16) / (height - 16)
print(f"An even spread has {even_ratio:.2f} times as much in the rows as in the columns.")
draw_receptive_fields(fields)

# %% [markdown]
# A stripe along the middle rows comes from category attention: compare "anchor only". It sorts pixels by category in
# reading order, and where one category has nearly all pixels (section 6), its groups are parts of rows.
# Through the anchors every pixel reaches the output, and still half of the gradient may come from very few: the quoted
# share decides how "global" a network looks. Notebook 02 asks the same along a path of images.
#
# ## What to conclude, and what not
#
# - The composed map is a product of two true maps, and only an approximation of what a pixel depends on. Trust it block
#   by block, as far as section 3 allows, and never without its controls.
# - Colours hide how even attention is; entropy and effective number do not. An even map reaches far without selecting.
# - Whether categories look like parts of the picture is subjective. The sentence of section 6 gives numbers, for one
#   image and one network: pass the name of another to `load_model`.
#
# ## Exercises
#
# 1. Take a pixel of the background and one of a whisker. Which anchors do they attend to, and which map is sharper?
# 2. In section 1, use `a` alone as `keys`. How much of the fine map is due to the anchors themselves?
# 3. Run `superpixel_study` with 24 and with 400 segments. Does the finding depend on it?
#
# Before: [03](03_anchor_tsne.ipynb). Next: [05, Where does a network fail?](05_failure_cases.ipynb)
