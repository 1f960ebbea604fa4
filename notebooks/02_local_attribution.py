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
# # Which pixels made this result?
#
# The paper's Fig. 7, 8 and 10 show *local attribution maps* (LAM; Gu and Dong, "Interpreting Super-Resolution Networks
# with Local Attribution Maps", CVPR 2021). They answer: **which pixels of the input did a network use for its result in
# one small window?**
#
# You will
# 1. build such a map from its parts, and check that its attributions add up,
# 2. write four small functions yourself: unfold one, empty it, and write your own; `check` says whether it is right,
# 3. compare networks with it, and then promptings, in two ways that must not be confused.
#
# The same from a terminal: `python -m analysis lam IMAGE --model promptsr-x4 --x X --y Y --out OUT`.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from analysis import LocalAttributionMap, PathSettings, Region
from analysis.ablations.networks import TABLE_IV, switched_off_series, trained_ablations
from analysis.common.samples import write_samples
from analysis.lam.blur_path import BlurPath
from analysis.lam.run import Explanation, explain_window
from analysis.tour.exercises import check
from promptsr import load_model
from promptsr.data import load_hr, make_lr
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel

QUICK = "PROMPTSR_QUICK" in os.environ  # a small patch and few steps, for the tests
PEER = os.environ.get("PROMPTSR_PEER")  # path of another network's x4 checkpoint, such as HPINet-M-x4.pth

# %% [markdown]
# ## 1. A photograph and a window
#
# A patch of a photograph is the true (high-resolution, HR) image; the networks get a version that is four times smaller
# (low-resolution, LR). The window has 16 x 16 output pixels, and lies on a pillar of a gallery with light behind it.
# There are pillars all over the patch, so a network could use distant ones to draw this one.

# %%
folder = Path(tempfile.mkdtemp())
write_samples(folder, 512)
left, top, side = 48, 96, 128 if QUICK else 192
hr = load_hr(folder / "china.png", 4)[:, :, top : top + side, left : left + side]
lr = make_lr(hr, 4)
region = Region(x=74 - left, y=156 - top, size=16)
settings = PathSettings(steps=10 if QUICK else 50, rule="right")


def show(image: Tensor) -> np.ndarray:
    """1 x C x H x W -> H x W x C, in [0, 1]."""
    return image[0].permute(1, 2, 0).detach().clamp(0, 1).numpy()


figure = Figure(figsize=(8, 4))
for axes, image, title in zip(figure.subplots(1, 2), (hr, lr), ("HR, with the window", "LR: the input"), strict=True):
    axes.imshow(show(image), interpolation="none")
    axes.set_title(title)
    axes.set_axis_off()
figure.axes[0].add_patch(Rectangle((region.x, region.y), 16, 16, fill=False, edgecolor="red"))
figure

# %% [markdown]
# ## 2. The path
#
# The gradient at the sharp image alone would be a poor answer: where a network is certain its output no longer changes,
# so the gradient is small just where the evidence is strong. Instead, LAM follows the image from blurred to sharp, and
# adds up the gradients on this path. With $\sigma_i$ falling evenly from 1.2 pixels to 0,
#
# $$x_i = k_i * x, \qquad k_i = \text{Gaussian of } \sigma_i, \qquad x_0 \text{ is blurred}, \quad x_{50} = x.$$
#
# A blurred image shows the same scene and lacks only the detail, which is what super-resolution is about.
#
# Top: the kernels, that is, the path of a single white pixel. Bottom: the path of the photograph. Near the end of the
# path the kernel is practically a single pixel, and nothing changes any more.

# %%
path = BlurPath(lr, settings)
spot = torch.zeros(1, 1, 9, 9)
spot[..., 4, 4] = 1
shown = [round(part * settings.steps) for part in (0, 0.2, 0.4, 0.6, 0.8, 1)]
figure = Figure(figsize=(10, 3.8))
for above, below, i in zip(*figure.subplots(2, len(shown)), shown, strict=True):
    above.imshow(BlurPath(spot, settings).points([i])[0, 0], cmap="gray", vmin=0)
    above.set_title(f"$k_{{{i}}}$")
    below.imshow(show(path.points([i])), interpolation="none")
    below.set_title(f"$x_{{{i}}}$")
for axes in figure.axes:
    axes.set_axis_off()
figure

# %% [markdown]
# ## 3. The detector
#
# A gradient needs one number to differentiate. LAM takes the amount of detail in the window of the result $F(x)$: the
# length of the image's gradient, by forward differences, summed over the window and the three colours.
#
# $$D = \sum \sqrt{(\Delta_h F)^2 + (\Delta_w F)^2}$$
#
# **Exercise 1.** The detector of one output image. Both differences at a pixel look ahead: to the pixel below it, and
# to the one on its right. `region.crop` cuts the window out of what has the size of the result. Add a little, such as
# $10^{-12}$, below the root, for it has no slope at 0.


# %% jupyter={"source_hidden": true}
def detector(output: Tensor) -> Tensor:
    """D of one output image, 1 x 3 x H x W -> a number."""
    down, right = output.diff(dim=2)[..., :-1], output.diff(dim=3)[..., :-1, :]
    return region.crop((down.square() + right.square() + 1e-12).sqrt()).sum()


bicubic, network = load_model("bicubic-x4"), load_model("promptsr-x4")
check(detector, bicubic(lr), expected=LocalAttributionMap(bicubic).detect(lr, region)[0])

# %% [markdown]
# D along the path. A network that sharpens has a larger D at the end.

# %%
with torch.no_grad():
    along = {model.name: [float(detector(model(path.points([i])))) for i in shown] for model in (bicubic, network)}
figure = Figure(figsize=(4.5, 3))
curve = figure.subplots()
for name, values in along.items():
    curve.plot(shown, values, "o-", label=name)
curve.set(xlabel="point of the path", ylabel="D", ylim=(0, None))
curve.legend()
figure

# %% [markdown]
# ## 4. Integrate by hand
#
# $D$ changes from $D(F(x_0))$ to $D(F(x))$ along the path. By the chain rule every input pixel $p$ has a share of that:
#
# $$\mathrm{LAM}_p = \int \frac{\partial D}{\partial x_p} \, \mathrm{d}x_p \approx
# \sum_{i=1}^{50} \frac{\partial D(F(x_i))}{\partial x_{i,p}} \, (x_{i,p} - x_{i-1,p}).$$
#
# This right Riemann sum takes a few lines for any network. Bicubic interpolation comes first, because the answer is
# known: it reads only the few pixels around the window, so no other pixel may have a share.
#
# **Exercise 2.** The sum. `path.points(range(n + 1))` are $x_0$ to $x_n$, (n + 1) x 3 x H x W; `torch.autograd.grad` is
# the gradient.


# %% jupyter={"source_hidden": true}
def integrate(model: SRModel) -> np.ndarray:
    """Attributions by channel, 3 x H x W."""
    points = path.points(range(settings.steps + 1))
    total = torch.zeros_like(lr)
    for i in range(1, settings.steps + 1):
        x = points[i : i + 1].clone().requires_grad_()
        [gradient] = torch.autograd.grad(detector(model(x)), x)
        total += gradient * (points[i] - points[i - 1])
    return total[0].numpy()


attribution = LocalAttributionMap(bicubic).explain(lr, region, settings)
check(integrate, bicubic, expected=torch.from_numpy(attribution.values))

# %%
by_hand = integrate(bicubic)
equal = np.allclose(by_hand, attribution.values, atol=1e-5 * np.abs(by_hand).max())
_, x = np.nonzero(attribution.map)
print(f"By hand and by LocalAttributionMap: {'the same' if equal else 'not the same'}")
print(f"Output columns {region.x} to {region.x + 16} lie above input columns {region.x // 4} to {region.x // 4 + 4};")
print(f"the map is not zero in input columns {x.min()} to {x.max()}.")

# %% [markdown]
# The *map* in papers is the absolute value of the sum over colours, divided by its maximum. The *diffusion index*
# measures its spread in one number, $\mathrm{DI} = 100 \, (1 - \mathrm{Gini})$: near 0 if a few pixels have
# everything, 100 if all have the same share. It depends on the size of the input, so compare only maps of one patch.
#
# **Exercise 3.** The Gini coefficient of values, none below 0, is the mean difference of two of them, over all pairs,
# divided by twice their mean. The diffusion index, from attributions:


# %% jupyter={"source_hidden": true}
def diffusion_index(values: np.ndarray) -> float:
    """3 x H x W -> from 0 to 100."""
    share = np.abs(values.sum(axis=0)).ravel()
    gini = np.abs(share[:, None] - share).mean() / (2 * share.mean())
    return float(100 * (1 - gini))


assert attribution.di is not None  # as it is for a map of zeros
check(diffusion_index, by_hand, expected=attribution.di)

# %% [markdown]
# ## 5. Do the attributions add up?
#
# They must add up to $D(F(x)) - D(F(x_0))$, whatever the network. The *completeness gap* is the deviation of their sum
# relative to this value: it shows whether the steps were fine enough. The trapezoid rule takes the mean of both ends of
# a step.

# %%
rows = [
    {"model": model.name, "steps": steps, "rule": rule, "gap": found.completeness_gap, "DI": found.di}
    for model in (bicubic, network)
    for steps in ((5, 10) if QUICK else (5, 10, 25, 50))
    for rule in ("right", "trapezoid")
    for found in [LocalAttributionMap(model).explain(lr, region, PathSettings(steps=steps, rule=rule))]
]
completeness = pd.DataFrame(rows).pivot(index=["model", "steps"], columns="rule")
completeness.round(4)

# %% [markdown]
# - On bicubic interpolation the gap of the right rule shrinks about as 1/steps, and the trapezoid rule is far better.
# - PromptSR sorts its pixels into categories. Where a pixel changes its category along the path, $D$ jumps, and no sum
#   of gradients can see a jump. More steps do not help: look at the gap before you trust a map. Above 5 %, and where
#   the window is flat, `found.warning` says so.
# - The *adaptive* rule doubles the steps of the trapezoid rule until the gap is below 2 %, or no longer shrinks. It is
#   the default outside this notebook; published maps were made by the right rule with 50 steps, the reference:

# %%
adaptive = [LocalAttributionMap(model).explain(lr, region).to_dict() for model in (bicubic, network)]
pd.DataFrame(adaptive).set_index("model")[["levels", "completeness_gap", "integration_error", "di"]].round(4)

# %% [markdown]
# - The DI of bicubic interpolation hardly depends on the steps. That of PromptSR converges later, and sooner with the
#   trapezoid rule: 10 steps are a preview that orders networks, but not to be quoted.

# %% [markdown]
# ## 6. Fig. 7 and 8: several networks, one window
#
# From the top: the window in each result (PSNR/SSIM against HR); the map, yellow for small and red for large shares;
# the *contribution area*, all pixels above 1 % of the maximum.
#
# **Exercise 4.** The share of the input's pixels that are in the contribution area.


# %% jupyter={"source_hidden": true}
def contribution_area(values: np.ndarray, level: float) -> float:
    """3 x H x W, and the share of the maximum that counts -> from 0 to 1."""
    share = np.abs(values.sum(axis=0))
    return float((share > level * share.max()).mean())


check(contribution_area, attribution.values, 0.01, expected=attribution.activated(0.01))


# %%
def explain(models: list[SRModel]) -> Explanation:
    """Return the map of each model, beside its result."""
    return finish(explain_window(models, lr, region, hr=hr, settings=settings))


def table(explanation: Explanation) -> pd.DataFrame:
    """Return the numbers of the maps."""
    found = pd.DataFrame(explanation.rows, index=[row["model"] for row in explanation.rows])
    found["area above 1 % (%)"] = [100 * attribution.activated(0.01) for attribution in explanation.attributions]
    return found[["di", "area above 1 % (%)", "completeness_gap"]].astype(float).round(3)


models = [bicubic, *([load_model(PEER)] if PEER else []), network]
compared = explain(models)
compared.figure("china")

# %%
table(compared)

# %% [markdown]
# ## 7. Fig. 10: what do the promptings add?
#
# **Networks trained with different promptings.** The paper shows four networks, the rows of Table IV, each trained from
# scratch. `trained_ablations` finds them among the bundled weights and in `PROMPTSR_MODELS`.

# %%
trained = trained_ablations(4)
if trained:
    trained_maps = explain(trained)
    display(trained_maps.figure("china"), table(trained_maps))
else:
    print("There are no weights of these networks, so this figure cannot be drawn yet. To train them:\n")
    for name in TABLE_IV:
        print(f"promptsr train configs/ablations/{name.removeprefix('ablation-')}.yaml data=photos/ --out runs/{name}")
    print("\nCopy the best.safetensors of each into one folder, under its own name, and set PROMPTSR_MODELS to it.")

# %% [markdown]
# **Promptings switched off inside one network.** This is another experiment. The network was trained as a whole and
# never learned to work without a part, so this shows how much *this* network relies on its parts, not what networks
# without them would do. From left to right: attention in windows only; with anchors; with coarse categories too; the
# whole network.

# %%
series = switched_off_series(network)
switched_maps = explain(series)
switched_maps.figure("china, promptings switched off")

# %%
table(switched_maps)

# %% [markdown]
# One window proves little. The DI of the same four at other windows of the patch (10 steps):

# %%
places = [(26, 60), (92, 69), (100, 104), (110, 30), (157, 109)][: 2 if QUICK else None]
windows = [Region(x, y, 16) for x, y in places]
preview = PathSettings(steps=10, rule="trapezoid")
others = pd.DataFrame(index=[str(place) for place in places])
for part in series:
    lam = LocalAttributionMap(part)
    others[part.name.removeprefix(f"{network.name}, ")] = [lam.explain(lr, w, preview).di for w in windows]
others.loc["mean"] = others.mean()
others.round(2)

# %% [markdown]
# ## What to conclude, and what not
#
# - Bicubic interpolation reads a handful of pixels, a network with windows alone its neighbourhood. Anchors let pixels
#   from the whole patch take part; whether that raises the DI differs between windows and between trainings: read the
#   rows above before you trust their mean.
# - A larger DI is **not** a better picture. It means that more pixels take part, not that they help. For that, compare
#   the order of PSNR and SSIM in the figures with that of the DI.
# - Another window, another blur, another patch give another map. To compare networks, take many windows and images.
# - Switching parts off is no ablation. The paper finds that more pixels are activated with every prompting, in
#   *trained* networks.
#
# ## Exercises
#
# 1. Move the window onto the sky. What are the map and the DI, and why is care needed with them?
# 2. Set `sigma` to 0.6 and to 2.4. Which conclusions hold?
# 3. Take half the patch around the same window. The network is the same. In which direction does the DI go, and why?
# 4. Train the four rows of Table IV at a size of your own (`python -m analysis ablate --help`) and draw Fig. 10.
#
# Before: [01](01_architecture_tour.ipynb). Next: [03, What do the anchor prompts know?](03_anchor_tsne.ipynb)
