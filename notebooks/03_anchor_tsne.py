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
# # What do the anchor prompts know?
#
# The paper's Fig. 11 lays out the *anchor prompts* of thousands of images by t-SNE, with two conclusions: those of
# different residual groups are separate, and those of different image categories are not. A picture alone cannot
# answer: **how far apart are they, is it more than chance, and is training the cause?**
#
# You will
# 1. make one anchor prompt by hand, and the figure,
# 2. measure the same in numbers, and test the measure on known cases,
# 3. compare with random weights, and with the weights without the update,
# 4. see how the picture depends on its settings.
#
# The same from a terminal: `python -m analysis anchors FOLDER --model promptsr-x4 --out OUT`.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from analysis.anchors.embedding import embed
from analysis.anchors.figure import draw_numbers, draw_tsne
from analysis.anchors.image_folders import find_image_set
from analysis.anchors.points import make_points
from analysis.anchors.separation import Separation, separate, separation
from analysis.anchors.study import analyse, collect_variants
from analysis.common.samples import write_crops
from promptsr import load_model
from promptsr.data import load_pair
from promptsr.model.taps import record
from promptsr.support.progress import finish

QUICK = "PROMPTSR_QUICK" in os.environ  # few and small crops, for the tests
CATEGORIES = os.environ.get("PROMPTSR_CATEGORIES")  # a folder with a folder of images for each category
pd.set_option("display.precision", 3)

# %% [markdown]
# ## 1. Images in categories
#
# The paper takes some 5000 images of 10 ImageNet categories. Name such a folder in `PROMPTSR_CATEGORIES` and this
# notebook uses it. By default it uses six photographs: each is a "category", and random crops are its images. Note the
# difference: crops of one photograph overlap and share its light and colours; two photographs of churches may have
# nothing in common. So **these categories are far easier to tell apart than the paper's**.

# %%
folder = Path(tempfile.mkdtemp())
if not CATEGORIES:
    write_crops(folder / "crops", 6 if QUICK else 40, side=64 if QUICK else 128)
images = find_image_set(Path(CATEGORIES) if CATEGORIES else folder / "crops")
model = load_model("promptsr-x4")
network: Any = model.network
pd.Series(images.categories).map(lambda i: images.names[i]).value_counts(sort=False).rename_axis("category").to_frame()

# %% [markdown]
# ## 2. What an anchor prompt is
#
# A cascade prompting block shrinks its features $d$ times by a convolution; these few *anchors* $A$ then read the whole
# image (eq. 7), and the result is blended with the prompts of the previous block in the same residual group (eq. 8, the
# anchor prompt update):
#
# $$P = \mathrm{softmax}\left(A K^\top / \sqrt C\right) V, \qquad P \leftarrow \alpha P_{before} + (1 - \alpha) P.$$
#
# By hand, for the last block of the first group and one image:

# %%
_, lr = load_pair(images.path(0), model.scale)
layer = network.groups[0].blocks[-1].global_prompting
tap = f"groups.0.blocks.{len(network.groups[0].blocks) - 1}.global_prompting"
inputs: list[Any] = []
handle = layer.register_forward_pre_hook(lambda module, args: inputs.extend(args))
with torch.no_grad(), record(network, [f"{tap}.anchors", f"{tap}.anchor_prompts"]) as seen:
    network(lr)
    handle.remove()
    x, before = inputs  # 1 x H x W x C, and the anchor prompts of the block before, 1 x n x C
    keys, values = layer.key(x.flatten(1, 2)), layer.value(x.flatten(1, 2))  # 1 x HW x C
    read = torch.softmax(seen[f"{tap}.anchors"] @ keys.transpose(1, 2) / x.shape[-1] ** 0.5, dim=-1) @ values
    by_hand = layer.alpha * before + (1 - layer.alpha) * read
equal = torch.allclose(by_hand, seen[f"{tap}.anchor_prompts"], atol=1e-5)
print(f"LR image {lr.shape[3]} x {lr.shape[2]}, d = {network.config.anchor_stride}, alpha = {layer.alpha}")
print(f"P has {by_hand.shape[1]} anchors of {by_hand.shape[2]} features; by hand and by the network: ", end="")
print("the same" if equal else "not the same")

# %% [markdown]
# ## 3. From images to points
#
# $P^i$ is taken from the last block of residual group $i$. An image has one row for every anchor; their mean is one
# point for each group. Three networks are measured:
#
# - the network as it was **trained**;
# - the same with fresh random weights, **untrained**: the control, of which there are three draws;
# - the trained weights with the **update off** ($\alpha = 0$ in eq. 8, nothing else changed).

# %%
collected = finish(collect_variants(model, images, folder / "collected"))
study = finish(analyse(collected, perplexity=8 if QUICK else 30, permutations=99 if QUICK else 999))
points = study.points["trained"]
print("groups x images x features:", " x ".join(map(str, points.features.shape)))

# %% [markdown]
# ## 4. Fig. 11
#
# Features are standardised, reduced to at most 50 principal components, and laid out by t-SNE, which tries to preserve
# neighbourhoods. The axes have no meaning, and neither has the size of a gap between two clusters.

# %%
draw_tsne(points, study.planes)

# %% [markdown]
# ## 5. The same in numbers
#
# Computed from the features themselves, not from the picture:
#
# - **k-NN**: the share of points whose 5 nearest neighbours vote for their own label; **chance** is the share of the
#   largest class;
# - **p**: how often permuted labels reach the same accuracy. Permutations exchange the groups among the four points of
#   an image, and the categories among images: if labels meant nothing, this would make no difference. 95 % of the
#   accuracies of permuted labels lie between **low** and **high**;
# - **silhouette**: 1 if every point is far nearer to its own class than to the next, 0 if classes overlap;
# - **probe**: cross-validated accuracy of a linear classifier, which may use a few directions only.


# %%
def table(rows: dict[str, Separation]) -> pd.DataFrame:
    """Separations by name."""
    found = pd.DataFrame({name: each.to_dict() for name, each in rows.items()}).T.astype(float)
    return found.rename(columns={"knn": "k-NN", "p_value": "p"})


trained = study.features["trained"]
by_group = {f"categories, group {i}": each for i, each in enumerate(trained.categories, start=1)}
numbers = table({"residual groups": trained.groups} | by_group)
numbers

# %% [markdown]
# ## 6. Is the measure right?
#
# Before trusting these numbers, we measure known cases. **Planted**: noise of the same shape, with a centre for every
# category. **Shuffled**: the network's own points, with the categories shuffled at random.

# %%
rng = np.random.default_rng(0)
centres = 3 * rng.normal(size=(len(points.names), points.features.shape[2]))
noise = rng.normal(size=points.features.shape).astype(np.float32)
planted = separate(replace(points, features=noise + centres[points.categories]), permutations=99).categories[0]
shuffled = separate(replace(points, categories=rng.permutation(points.categories)), permutations=99).categories[0]
assert planted.knn > 0.95 and planted.p_value < 0.02
ruler = table({"planted categories": planted, "shuffled categories": shuffled})
ruler

# %% [markdown]
# ## 7. Would random weights do the same?
#
# Every residual group of a network has other weights, so its features lie elsewhere, trained or not. And any features
# of an image, even random ones, carry information on its colours. A claim that also holds for the untrained network
# says nothing about training.

# %%
measured = {name: study.features[name] for name in study.shown}  # one draw of random weights stands for all
draw_numbers(measured)

# %%
for sentence in study.findings:
    print("-", sentence)

# %% [markdown]
# A network differs from random weights here if its k-NN accuracy lies beyond all three draws of them, by more than
# their spread and by more than permuted labels explain. Two trained networks differ if they are 10 percentage points
# apart (other random weights alone may change k-NN by nearly as much). Where k-NN has reached 100 % for all, only the
# silhouette remains for a comparison:

# %%
table({name: found.groups for name, found in measured.items()})

# %% [markdown]
# Would three numbers suffice? The mean colour of each LR image, measured like a network:

# %%
pixels = [load_pair(images.path(i), model.scale)[1] for i in collected.used]
colours = np.stack([lr.mean(dim=(0, 2, 3)).numpy() for lr in pixels])  # N x 3
of_colours = separation(colours, points.categories, permutations=99)
table({"mean colour": of_colours, "group 1, trained": trained.categories[0]})

# %% [markdown]
# The paper credits the anchor prompt update with keeping the groups apart, as it stays within a group. Switching it off
# in these weights is a weak test: they were trained with it, and alpha is small. The change of the points of each
# group, relative to their norm:

# %%
pd.DataFrame({"relative change": study.update_change}, index=[f"group {i + 1}" for i in range(len(points.features))])

# %% [markdown]
# ## 8. A picture depends on its settings
#
# Top: the same points by category at three perplexities. Bottom: as many points of pure noise. Over each panel: k-NN
# accuracy **in that picture**. A low perplexity breaks the points into clumps, a high one draws them as one cloud: the
# number of clumps is a property of the picture. The numbers of section 5 depend on no such setting.

# %%
last = replace(points, features=points.features[-1:])
usual = study.planes.perplexity
figure = Figure(figsize=(10, 7), layout="constrained")
rows = ("last group", last), ("noise", replace(last, features=noise[-1:]))
in_plane: dict[str, list[float]] = {}
for (what, shown), panels in zip(rows, figure.subplots(2, 3), strict=True):
    in_plane[what] = []
    for axes, perplexity in zip(panels, (usual / 6, usual, min(2 * usual, len(points.categories) - 1)), strict=True):
        plane = finish(embed(shown, perplexity)).single[0]
        knn = separation(plane, shown.categories, permutations=1, standardise=False).knn
        in_plane[what].append(knn)
        axes.scatter(*plane.T, c=shown.categories, cmap="viridis", s=14, alpha=0.7, linewidths=0)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(f"{what}, perplexity {perplexity:.2g}: k-NN {100 * knn:.0f} %", fontsize=10)
figure

# %% [markdown]
# The seed matters less: t-SNE starts from the principal components here, not from random positions.

# %%
one, other = (finish(embed(last, usual, seed)).single[0] for seed in (0, 1))
print(f"Largest shift of a point by another seed: {np.abs(one - other).max():.2g} of {np.ptp(one):.0f}")

# %% [markdown]
# ## 9. Every anchor as a point
#
# One could also keep every anchor instead of the mean. Then the nearest neighbours of an anchor are often others **of
# the same image**, which have its category by construction. `separation` leaves a point's own image out as soon as
# images have several points of one label, and permutes the labels of whole images. Its effect shows when categories are
# assigned to the images at random, so that there is nothing to find:

# %%
every = make_points(collected, "trained", "anchors", limit=8 * len(collected.used))
dealt = rng.permutation(every.categories[np.unique(every.images, return_index=True)[1]])[every.images]
leaky = separation(every.features[0], dealt, permutations=99)
honest = separation(every.features[0], dealt, images=every.images, permutations=99)
true = separation(every.features[0], every.categories, images=every.images, permutations=99)
rows_of = {"dealt, own counted": leaky, "dealt, own left out": honest, "true, own left out": true}
anchors = table(rows_of)
anchors

# %% [markdown]
# ## What to conclude, and what not
#
# - Prompts do separate by residual group, but so do those of random weights: Fig. 11a alone is no evidence that the
#   network learned different global features at different depths, nor for the update within groups.
# - "Categories do not separate" is a statement about a picture. Look at the numbers: prompts can carry much of a
#   category and still show no clusters. How much depends on the images; with crops of six photographs it is easy.
# - Only networks *trained* with several values of alpha can show the effect of the update. If `PROMPTSR_MODELS` names a
#   folder with such weights, they are measured as well, and included in the list of findings.
# - Crops of one photograph overlap. In this set that leaks across images just as anchors of one image do, and no
#   permutation test detects it: it is a property of the images, not of the measure. Use photographs of your own.
# - One draw of random weights is one control. Draw others before you rely on a small difference.
#
# ## Exercises
#
# 1. Put other seeds into `collect_variants(..., seed=...)`. By how much do the numbers of the untrained network change?
# 2. Turn the photographs grey before they are cropped. How much of the categories is left, and in which network?
# 3. Take `make_points(collected, "trained", "flattened")`. Does it help to know which anchor has which value?
# 4. Take the first block of each group (`block=1`) instead of the last. Which of the sentences change?
#
# Before: [02](02_local_attribution.ipynb). Next: [04, Where does a pixel look?](04_attention_and_categories.ipynb)
