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
# # What does a network cost?
#
# The paper's Table III prints 779K parameters and 53.5G multiply-adds for PromptSR. Counting every parameter and every
# product of the same network gives other figures. Neither is a mistake: *counting is a convention*, and papers seldom
# state theirs. This notebook finds the one behind the paper's figures, and **what it leaves out**.
#
# You will
# 1. count small layers by each convention,
# 2. count two layers of the paper's network by hand, to the last product,
# 3. test four conventions on all costs that the paper prints for its own networks,
# 4. compare Table III with our own counts,
# 5. measure the exponents of Table II,
# 6. draw Fig. 1b.
#
# The same from a terminal: `promptsr complexity --preset promptsr` for one network, and for the tables and figures
# `python -m analysis complexity --out OUT`.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from analysis.complexity.figure import draw_accuracy, draw_scaling
from analysis.complexity.scaling import SIDES, measure_scaling
from analysis.complexity.study import accuracy_against_size, table_three
from analysis.tour.exercises import check
from promptsr.complexity.counting import count
from promptsr.complexity.thop_convention import RULES
from promptsr.config import ModelConfig, preset
from promptsr.model.network import PromptSR
from promptsr.model.taps import explicit_attention
from promptsr.paper.tables import published_value
from promptsr.support.progress import finish

QUICK = "PROMPTSR_QUICK" in os.environ  # fewer sizes in section 5, for the tests
pd.set_option("display.precision", 2)

# %% [markdown]
# ## 1. Small layers
#
# A *multiply-add* is one product and its addition to a sum. `count` gives two figures: `multiply_adds`, those of linear
# layers, convolutions and attention products, and `published_multiply_adds`, the count of the tool thop (0.1.1) for the
# same network. thop looks up a rule by the **type** of each module. Here are both counts for single layers and an input
# of 3 x 4 x 5, beside the products counted by hand.


# %%
class Function(nn.Module):
    """A function as a module, with a learned table if one is given."""

    def __init__(self, function: Callable[[Tensor], Tensor], table: Tensor | None = None) -> None:
        super().__init__()
        self.function, self.table = function, None if table is None else nn.Parameter(table)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x if self.table is None else x + self.table)


layers: dict[str, tuple[nn.Module, int]] = {  # with the number of its products
    "convolution 3 x 3, 3 to 8 channels": (nn.Conv2d(3, 8, 3, padding=1), 4 * 5 * 8 * (3 * 3 * 3)),
    "linear layer, 5 to 8": (nn.Linear(5, 8), 3 * 4 * 8 * 5),
    "layer norm over 5": (nn.LayerNorm(5), 0),
    "softmax over 5, a module": (nn.Softmax(dim=-1), 0),
    "softmax over 5, a function": (Function(lambda x: x.softmax(-1)), 0),
    "product of two inputs, x @ x.mT": (Function(lambda x: x @ x.mT), 3 * 4 * 4 * 5),
    "learned table of 4 x 5, added": (Function(lambda x: x, torch.zeros(4, 5)), 0),
}
costs = pd.DataFrame([count(layer, 4, 5) for layer, _ in layers.values()], list(layers)).drop(columns="layers")
costs["products by hand"] = [by_hand for _, by_hand in layers.values()]
assert (costs["multiply_adds"] == costs["products by hand"]).all()
costs

# %% [markdown]
# - Both count the products of linear layers and convolutions; neither counts the addition of a bias.
# - thop counts a layer norm as 4 multiply-adds an element, and a row of $n$ in a softmax **module** as $3n - 1$
#   ($n$ exponentials, $n - 1$ additions, $n$ divisions). Called as a function, the same softmax costs nothing.
# - A product of two inputs belongs to no module, so thop does not count it. *Attention is made of such products.* Nor
#   does it count the parameters of a module without a rule.
#
# ## 2. Two layers by hand
#
# First a global anchor prompting layer (GAPL). The LR image is the paper's, 180 x 320 (1280 x 720 after x4), which the
# network pads to whole windows of 16: 192 x 320. Each line is a step of the paper's equations.

# %%
config = preset("promptsr")
cost = count(config, 180, 320)
gapl = next(layer for layer in cost.layers if layer.kind == "GAPL")
hw, c, d = 192 * 320, config.channels, config.anchor_stride
n = hw // d**2  # anchors
steps = {  # true multiply-adds, and those by thop
    "Q, K, V: three times C x C (eq. 6)": (3 * hw * c * c, 3 * hw * c * c),
    "anchors: depthwise, then C x C (eq. 6)": (n * c * (d + 1) ** 2 + n * c * c, n * c * (d + 1) ** 2 + n * c * c),
    "M coarse (eq. 7)": (n * hw * c, 0),
    "its softmax, over HW": (0, n * (3 * hw - 1)),
    "P (eq. 7)": (n * hw * c, 0),
    "K_p, V_p: depthwise 3 x 3 (eq. 9)": (2 * n * c * 9, 2 * n * c * 9),
    "M fine (eq. 10)": (hw * n * c, 0),
    "its softmax, over n": (0, hw * (3 * n - 1)),
    "X_p (eq. 10)": (hw * n * c, 0),
    "projection (eq. 11)": (hw * c * c, hw * c * c),
    "layer norm (eq. 12)": (0, 4 * hw * c),
    "feed-forward network (eq. 12)": (2 * hw * c * c, 2 * hw * c * c),
}
by_hand = pd.DataFrame(steps, ["true", "thop"]).T
assert by_hand["true"].sum() == gapl.multiply_adds and by_hand["thop"].sum() == gapl.published_multiply_adds
print(f"HW = {hw}, n = {n}, C = {c}: {gapl.multiply_adds:,} multiply-adds, by thop {gapl.published_multiply_adds:,};")
print("the lines below add up to exactly these.")
(by_hand / 1e6).rename(columns="{} (millions)".format).round(1)

# %% [markdown]
# **Exercise.** Count all multiply-adds of a local prompting layer: one linear layer to Q, K and V; attention in windows
# of `ws` x `ws` tokens, and in groups of `size` tokens; a projection after each; the feed-forward network. The function
# below holds a solution, and is folded in JupyterLab: empty it and write your own; `check` says whether it is right.


# %% jupyter={"source_hidden": true}
def local_layer(hw: int, c: int, ws: int, size: int) -> int:
    """Similarities and sums of values, whatever the heads; then seven products with C x C for each token."""
    return 2 * hw * c * (ws**2 + size) + 7 * hw * c * c


local = next(layer for layer in cost.layers if layer.kind == "LPL")
check(local_layer, hw, c, config.window_size, config.category_size, expected=local.multiply_adds)

# %% [markdown]
# ## 3. Which convention is the paper's?
#
# Here is thop in a few lines: run the network on torch's meta device, which has shapes and computes nothing, and add up
# the rules by type of module. This gives four conventions: layers with weights alone (linear ones, convolutions); with
# the norms; with the softmaxes too, which is thop's; and layers with the attention products, the true one.


# %%
def by_type(config: ModelConfig) -> Counter[str]:
    """Multiply-adds by thop's rules, for 180 x 320."""
    with torch.device("meta"):
        network = PromptSR(config).eval()
    found: Counter[str] = Counter()

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        found[type(module).__name__] += RULES[type(module)](module, inputs[0], output)

    for module in network.modules():
        if type(module) in RULES:
            module.register_forward_hook(note)
    with torch.no_grad(), explicit_attention(network):
        network(torch.empty(1, 3, 180, 320, device="meta"))
    return found


tested = {  # table and row -> our preset
    ("III", "PromptSR"): "promptsr",
    ("V", "d=8"): "ablation-base",
    ("V", "d=4"): "ablation-d4",
    ("V", "d=2"): "ablation-d2",
    ("VII", "ws=8"): "ablation-ws8",
}
rows = [f"{table}: {row}" for table, row in tested]
work = pd.DataFrame([by_type(preset(name)) for name in tested.values()], rows) / 1e9
printed = pd.Series([published_value(table, row, "multiply_adds") for table, row in tested], rows) / 1e9
conventions = pd.DataFrame({"printed (G)": printed, "layers": work["Linear"] + work["Conv2d"]})
conventions["+ norms"] = conventions["layers"] + work["LayerNorm"]
conventions["+ norms + softmaxes: thop"] = conventions["+ norms"] + work["Softmax"]
conventions["layers + products: true"] = [count(preset(name)).multiply_adds / 1e9 for name in tested.values()]
fits = conventions.columns[1:][(conventions.iloc[:, 1:].sub(printed, axis=0).abs() < 0.1).all()]
print("Agrees with all five to the last printed digit:", ", ".join(fits))
conventions.round(2)

# %% [markdown]
# And the parameters: by thop's rules, or all of them?

# %%
named = {("I", "PromptSR", 2): "promptsr", ("I", "PromptSR*", 4): "promptsr-star"}
named |= {(table, row, 4): name for (table, row), name in tested.items()}
sizes = pd.DataFrame(
    [
        (published_value(table, row, "parameters", scale=scale), found.published_parameters, found.parameters)
        for (table, row, scale), name in named.items()
        for found in [count(preset(name, scale=scale))]
    ],
    [f"{table}: {row} x{scale}" for table, row, scale in named],
    ["printed", "thop", "all"],
)
sizes_fit = sizes.columns[1:][(sizes.iloc[:, 1:].sub(sizes["printed"], axis=0).abs() < 1000).all()]
print("Agrees with all seven to the last printed digit:", ", ".join(sizes_fit))
sizes.astype(int)

# %% [markdown]
# Most of the work is in the products, which the printed figures omit. Table V shows that a smaller $d$ costs more: by
# thop this rise comes from the **softmaxes** (3 for an entry of a map; its products: $2C = 96$).

# %%
parts = work.assign(layers=conventions["layers"], products=conventions.iloc[:, -1] - conventions["layers"])
parts = parts.rename(columns={"LayerNorm": "norms", "Softmax": "softmaxes"})
colours = {"layers": "#4878a8", "norms": "#55a868", "softmaxes": "#dd8a2b", "products": "#c44e52"}
figure = Figure(figsize=(10, 2.8), layout="constrained")
kinds_of = {"by thop": ["layers", "norms", "softmaxes"], "true": ["layers", "products"]}
for axes, (title, kinds) in zip(figure.subplots(1, 2), kinds_of.items(), strict=True):
    parts[kinds].plot.barh(stacked=True, ax=axes, color=colours, xlabel="multiply-adds (G)", title=title).invert_yaxis()
figure.axes[0].plot(printed, range(len(printed)), "k|", markersize=12, label="printed")
figure.axes[0].legend()
figure

# %% [markdown]
# ## 4. Table III
#
# The printed figures, beside our counts of the networks that can be built here. A sentence for each states which agree.

# %%
compared = pd.DataFrame(finish(table_three())).set_index("method")
kilo = ["printed_parameters", "published_parameters", "parameters"]  # printed, by thop, all
giga = ["printed_multiply_adds", "published_multiply_adds", "multiply_adds"]  # printed, by thop, true
for method, sentence in compared["explanation"].items():
    print(f"{method}: {sentence}")
in_units = (compared[kilo] / 1e3).round().join((compared[giga] / 1e9).round(1)).join(compared[["hidden_work"]])
in_units.columns = ["K, printed", "by thop", "all", "G, printed", "by thop ", "true", "true / printed"]
in_units.astype(object).where(in_units.notna(), "")

# %%
both = compared.dropna(subset=giga)[giga].astype(float).set_axis(["printed", "by thop", "true"], axis=1)
over = (both.loc["PromptSR"] / both).drop("PromptSR").rename_axis("PromptSR's multiply-adds over those of")
over

# %% [markdown]
# The paper calls its cost "slightly higher than that of SwinIR-light and OmniSR". For the printed figures that is true;
# but the larger the share of attention products in a network's work, the more this convention flatters it.
#
# ## 5. Table II
#
# | layer | time | space |
# |---|---|---|
# | self-attention (SA) | $HWC^2 + H^2W^2C$ | $HWC + H^2W^2$ |
# | window self-attention (WSA) | $HWC^2 + HW H_d W_d C$ | $HWC + HW H_d W_d$ |
# | global anchor prompting (GAPL) | $HWC^2 + HW H_d W_d C$ | $HWC + HW H_d W_d$ |
#
# $H_d$ and $W_d$ are the sides of a window, and in GAPL those of the grid of anchors. If they are **fixed**, attention
# grows with the pixels. In the network $d$ is fixed, and $H_d W_d = HW / d^2$ grows as well. An exponent is the slope
# of a line through the logarithms of $HW$ and of a cost, counted from shapes: the products of *attention*, the bytes of
# its *maps*, all *multiply-adds*, and the most *memory* alive at once, if the maps are stored.

# %%
scaling = finish(measure_scaling(SIDES[:3] if QUICK else SIDES, timed=False))
exponents = pd.DataFrame(scaling.exponents)
print(scaling.finding)
exponents.pivot(index="layer", columns="quantity", values="exponent").join(
    exponents[exponents["quantity"] == "attention"].set_index("layer")["expected"].rename("Table II, HW to the")
).round(2)

# %%
draw_scaling(scaling)

# %% [markdown]
# ## 6. Fig. 1b
#
# PSNR on Urban100 x4 against parameters, where our copy of Tables I, III and V is legible. The bundled weights are not
# measured on Urban100; the second figure shows Set5, where they are.

# %%
draw_accuracy(accuracy_against_size("Urban100", 4), "Urban100", 4)

# %%
draw_accuracy(accuracy_against_size("Set5", 4), "Set5", 4)

# %% [markdown]
# ## What to conclude, and what not
#
# - Compare only costs that were counted by one convention, and state which.
# - No code of the paper is public. Kernel sizes, biases and the like of our network were chosen so that all printed
#   costs agree; this supports the choice, but does not prove that the authors' network is the same.
# - "Linear" is GAPL for a fixed number of anchors. With $d$ fixed it is quadratic, at $2/d^2$ of self-attention's cost.
# - Multiply-adds are not seconds, and parameters are not memory. `benchmarks/results` has both, measured.
#
# ## Exercises
#
# 1. Suppose the paper's code called its softmaxes as functions. What would Table III print for PromptSR?
# 2. From which size of image on do a GAPL's products outweigh its layers with weights? By formula, then by `count`.
# 3. `count` a network of your own (`load_model("mymodule:build").network`). What does thop leave out?
#
# Before: [05](05_failure_cases.ipynb). Next: [07, Train one yourself](07_train_your_own.ipynb)
