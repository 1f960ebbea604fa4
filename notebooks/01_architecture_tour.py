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
# # From pixels to pixels, box by box
#
# The paper's Fig. 2 draws PromptSR as boxes. Here one photograph goes through all of them: each box shows its equation
# and its output, and is **written out by hand** with the layers' weights. Does this equal the network's output?
#
# You will
# 1. follow the photograph from its three colours to the enlarged image,
# 2. write attention out as similarity map, softmax and weighted sum: from the anchors to the pixels and back, in
#    windows, and in categories. The network runs it *fused*, and never stores a map: is the result the same?
# 3. write four small functions yourself: unfold one, empty it, and write your own; `check` says whether it is right,
# 4. put the pieces together.
#
# The same from a terminal: `promptsr app`, tab *Architecture*, for any photograph, block and pixel.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from IPython.display import Markdown, display
from torch import Tensor

from analysis.common.samples import write_samples
from analysis.tour.exercises import check, same
from analysis.tour.figure import draw_views
from analysis.tour.walk import walk
from promptsr import load_model
from promptsr.data import load_pair
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.imaging.resize import upscale
from promptsr.model.attention import attend_all
from promptsr.model.network import pad_to_multiple
from promptsr.model.taps import explicit_attention, record

torch.set_grad_enabled(False)  # nothing is trained here
QUICK = "PROMPTSR_QUICK" in os.environ  # a small photograph, for the tests

# %% [markdown]
# ## 1. Overview
#
# Between encoder and decoder are $K$ residual groups of $N$ cascade prompting blocks. We look into the second block of
# the first group, and follow one pixel, on the left eye of a cat. Shapes are B x C x H x W, within the blocks
# B x H x W x C, of the photograph padded to whole windows and anchors.

# %%
folder = Path(tempfile.mkdtemp())
write_samples(folder, 192 if QUICK else 384)
model = load_model("promptsr-x4")
network: Any = model.network
config = network.config
hr, lr = load_pair(folder / "chelsea.png", model.scale)
height, width = lr.shape[2:]
x, y = round(0.38 * width), round(0.35 * height)
tour = walk(network, lr, group=0, block=1, focus=(x, y))


def show(key: str) -> None:
    """A box: its equation, its shapes, and what leaves it."""
    stop = tour.stops[key]
    shapes = " to ".join(" x ".join(map(str, shape)) for shape in (stop.input_shape, stop.output_shape))
    text = f"**{stop.box.title}** (eq. {stop.box.numbers}): {shapes}. {stop.box.sentence}"
    display(Markdown(f"{text}\n\n$${stop.box.equation}$$"), draw_views(stop.views, tour))


print(f"{width} x {height} pixels; K = {config.groups}, N = {config.blocks_per_group}, C = {config.channels}, ", end="")
print(f"d = {config.anchor_stride}, windows of {config.window_size}, {config.heads} heads; the pixel is ({x}, {y})")
table = {stop.box.title: (stop.box.level, stop.input_shape, stop.output_shape) for stop in tour.stops.values()}
pd.DataFrame(table, ["part of the", "input", "output"]).T

# %%
# What flows is caught at the network's taps; what enters a layer, where there is no tap, by a hook.
block = "groups.0.blocks.1"
inputs: list[Any] = []
layer = network.get_submodule(f"{block}.global_prompting")
handle = layer.register_forward_pre_hook(lambda module, args: inputs.extend(args))
with record(network, [f"{block}.*"]) as seen:
    network(lr)
handle.remove()
entered, before = inputs  # 1 x H x W x C and 1 x n x C
pd.Series({name.removeprefix(f"{block}."): tuple(value.shape) for name, value in seen.items()}, name="shape").to_frame()

# %% [markdown]
# ## 2. Encoder and global anchor prompting
#
# Each of the $HW$ pixels has a query, a key and a value, and every $d$ x $d$ of them share an anchor. Pixels see each
# other through these $n$ anchors, by two narrow maps, $n$ x $HW$ and $HW$ x $n$, instead of one of $HW$ x $HW$.

# %%
for key in ("encoder", "anchors", "coarse_map", "anchor_prompts", "fine_map", "prompted"):
    show(key)

# %% [markdown]
# **Exercise 1.** Attention, explicitly: the similarity map $q k^\top \cdot scale$, plus a bias where there is one; its
# softmax along each row; the rows as weights of a sum of $v$. `attend_all` is the fused one that the network runs.


# %% jupyter={"source_hidden": true}
def attention(q: Tensor, k: Tensor, v: Tensor, scale: float | Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """... n x c, ... m x c and ... m x c -> ... n x c."""
    similarity = q @ k.mT * scale + bias  # ... n x m
    weights = similarity.softmax(-1)
    return weights @ v


tokens = entered.flatten(1, 2)  # 1 x H x W x C -> 1 x HW x C
reading = seen[f"{block}.global_prompting.anchors"], layer.key(tokens), layer.value(tokens), layer.scale
check(attention, *reading, expected=attend_all(*reading, choose="query")[0])

# %% [markdown]
# The whole layer by hand, beside the taps (the network's own explicit path) and beside the layer as it runs, fused:


# %%
def gapl(layer: Any, x: Tensor, before: Tensor | None) -> dict[str, Tensor]:
    """Eq. 6 to 12: 1 x H x W x C, and the anchor prompts of the block before -> everything by name."""
    tokens = x.flatten(1, 2)  # 1 x HW x C
    q, k, v = layer.query(tokens), layer.key(tokens), layer.value(tokens)
    grid = layer.downscale(x.permute(0, 3, 1, 2))  # 1 x C x H/d x W/d
    a = layer.anchor(grid.flatten(2).transpose(1, 2))  # 1 x n x C
    p = attention(a, k, v, layer.scale)  # eq. 7
    p = p if before is None else layer.alpha * before + (1 - layer.alpha) * p  # eq. 8
    prompts = p.transpose(1, 2).unflatten(2, grid.shape[2:])  # 1 x C x H/d x W/d
    k_p, v_p = (make(prompts).flatten(2).transpose(1, 2) for make in (layer.prompt_key, layer.prompt_value))  # eq. 9
    x = x + layer.projection(attention(q, k_p + a, v_p, layer.scale)).view_as(x)  # eq. 10 and 11
    maps = {"coarse_map": a @ k.mT * layer.scale, "fine_map": q @ (k_p + a).mT * layer.scale}
    return {"anchors": a, **maps, "anchor_prompts": p, "features": layer.feed_forward(layer.norm(x)) + x}  # eq. 12


made = gapl(layer, entered, before)
for tap in ("anchors", "coarse_map", "anchor_prompts", "fine_map"):
    same(f"{tap}, by hand and at the tap", made[tap], seen[f"{block}.global_prompting.{tap}"])
fused = layer(entered, before)
same("anchor prompts, by hand and fused", made["anchor_prompts"], fused.anchor_prompts)
same("features, by hand and fused", made["features"], fused.features)

# %% [markdown]
# **Exercise 2.** The category of a pixel is the anchor most similar to it, by either map. Along which axis is that?


# %% jupyter={"source_hidden": true}
def categories(coarse_map: Tensor, fine_map: Tensor) -> Tensor:
    """1 x n x HW and 1 x HW x n -> 2 x HW, coarse first."""
    return torch.cat([coarse_map.argmax(1), fine_map.argmax(2)])


chosen = torch.cat([fused.coarse_category, fused.fine_category])
check(categories, made["coarse_map"], made["fine_map"], expected=chosen)

# %% [markdown]
# ## 3. Local prompting
#
# Two attentions side by side share their queries, keys and values. *Window attention* stays within windows, which are
# shifted by half their size in the second layer. *Category attention* connects pixels of one category, wherever they
# lie.

# %%
show("coarse")
show("fine")

# %% [markdown]
# **Exercise 3.** Cut features into windows in reading order: `unflatten` both sides, order the axes, `flatten`.


# %% jupyter={"source_hidden": true}
def windows(x: Tensor, ws: int) -> Tensor:
    """1 x H x W x C -> windows x ws^2 x C."""
    grid = x.unflatten(2, (-1, ws)).unflatten(1, (-1, ws))  # 1 x H/ws x ws x W/ws x ws x C
    return grid.transpose(2, 3).flatten(3, 4).flatten(0, 2)


pieces = [piece.flatten(1, 2) for row in entered.split(8, dim=1) for piece in row.split(8, dim=2)]
check(windows, entered, 8, expected=torch.cat(pieces))


# %% [markdown]
# Both by hand. A learned bias for the relative position of two pixels is added to the similarities in a window. Shifted
# windows wrap around to the other end of the image, and a mask of $-100$ separates pixels that are not adjacent.
# Category attention sorts the pixels by category and cuts the list into groups (of equal size here; in general the last
# one is filled up).


# %%
def attend(layer: Any, groups: Tensor, qkv: Tensor, scale: float | Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Attention in groups x size tokens: 1 x H x W x 3C -> 1 x H x W x C."""
    parts = qkv.flatten(0, 2)[groups].unflatten(2, (3, layer.heads, -1))  # groups x size x 3 x heads x C/heads
    q, k, v = parts.permute(2, 0, 3, 1, 4)  # each groups x heads x size x C/heads
    out = attention(q, k, v, scale, bias).transpose(1, 2).flatten(2).flatten(0, 1)  # HW x C, in groups
    return layer.projection(torch.empty_like(out).index_copy(0, groups.flatten(), out).view(*qkv.shape[:3], -1))


def window_attention(layer: Any, qkv: Tensor) -> Tensor:
    """WSA: 1 x H x W x 3C -> 1 x H x W x C."""
    number = torch.arange(qkv.shape[1] * qkv.shape[2]).view(qkv.shape[1:3])  # of each token, H x W
    wrapped = 2 * (number // qkv.shape[2] < layer.shift) + (number % qkv.shape[2] < layer.shift)  # from the other end
    both = torch.stack([number, wrapped], -1)[None].roll((-layer.shift, -layer.shift), (1, 2))
    groups, wrapped = windows(both, layer.window).unbind(-1)  # windows x ws^2
    mask = -100.0 * (wrapped[:, :, None] != wrapped[:, None])  # windows x ws^2 x ws^2
    bias = layer.position_bias[layer.position_index].permute(2, 0, 1)  # heads x ws^2 x ws^2
    return attend(layer, groups, qkv, layer.scale, bias + mask[:, None])


def category_attention(layer: Any, qkv: Tensor, category: Tensor) -> Tensor:
    """CSA: 1 x H x W x 3C, and a category for each token, 1 x HW -> 1 x H x W x C."""
    groups = category[0].argsort(stable=True).view(-1, layer.size)
    return attend(layer, groups, qkv, layer.logit_scale.exp().clamp(max=100))


def lpl(layer: Any, x: Tensor, category: Tensor) -> Tensor:
    """Eq. 13 and 14, or 15 and 16: 1 x H x W x C -> the same."""
    qkv = layer.qkv(layer.norm_attention(x))
    x = window_attention(layer.window_attention, qkv) + category_attention(layer.category_attention, qkv, category) + x
    return layer.feed_forward(layer.norm(x)) + x


given = made["features"]
for name, category in zip(("coarse", "fine"), chosen[:, None], strict=True):
    local = network.get_submodule(f"{block}.{name}_prompting")
    qkv = local.qkv(local.norm_attention(given))
    wsa, csa = local.window_attention, local.category_attention
    same(f"{name}, windows, by hand and fused", window_attention(wsa, qkv), wsa(qkv))
    same(f"{name}, categories, by hand and fused", category_attention(csa, qkv, category), csa(qkv, category))
    given, ran = lpl(local, given, category), local(given, category)
    same(f"{name}, the whole layer, by hand and fused", given, ran)

# %% [markdown]
# ## 4. Back to an image
#
# **Exercise 4.** The decoder's convolution gives $3s^2$ channels. Channel $c s^2 + i s + j$ is colour $c$ of the pixel
# in row $i$ and column $j$ of the $s$ x $s$ that take the place of one. Put them there.


# %% jupyter={"source_hidden": true}
def shuffle(x: Tensor, s: int) -> Tensor:
    """1 x 3s^2 x H x W -> 1 x 3 x sH x sW."""
    return x.unflatten(1, (3, s, s)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


channels = torch.rand(1, 3 * 4**2, 5, 6)
check(shuffle, channels, 4, expected=network.decoder[1](channels))

# %%
for key in ("convolution", "fusion", "decoder"):
    show(key)

# %% [markdown]
# ## 5. All together


# %%
def ours(lr: Tensor) -> Tensor:
    """The whole network by hand: 1 x 3 x H x W -> 1 x 3 x sH x sW."""
    shallow = x = network.encoder(pad_to_multiple(lr, config.size_multiple))  # eq. 1
    for group in network.groups:  # eq. 2
        tokens, prompts = x.permute(0, 2, 3, 1), None
        for cpb in group.blocks:
            made = gapl(cpb.global_prompting, tokens, prompts)
            coarse, fine = categories(made["coarse_map"], made["fine_map"])[:, None]
            tokens, prompts = lpl(cpb.coarse_prompting, made["features"], coarse), made["anchor_prompts"]
            tokens = lpl(cpb.fine_prompting, tokens, fine)
        x = group.convolution(tokens.permute(0, 3, 1, 2)) + x
    whole = shuffle(network.decoder[0](network.fusion(x) + shallow), config.scale)  # eq. 3 and 4
    return whole[..., : hr.shape[2], : hr.shape[3]]  # without what was padded


result = ours(lr)
with explicit_attention(network):
    explicit = network(lr)
for name, other in (("explicit", explicit), ("fused", network(lr))):
    print(f"by hand and {name}: {psnr_y(result, other, 4):.1f} dB")
    assert psnr_y(result, other, 4) > 50  # not `same`: rounding may choose the category where anchors are alike
pd.Series({name: psnr_y(quantize(image), hr, 4) for name, image in (("bicubic", upscale(lr, 4)), ("by hand", result))})

# %% [markdown]
# ## What to conclude, and what not
#
# - Up to rounding, the paper's equations are the whole network: nothing else happens between the boxes.
# - Fused and explicit attention differ only by rounding. But where two anchors are nearly equal, rounding may decide
#   the category of a pixel, and with it the group.
# - Pictures of features show the three axes on which they vary most, in arbitrary colours, and each map has its own
#   scale. Notebook 04 asks whether a map shows what a pixel depends on.
#
# ## Exercises
#
# 1. Follow a pixel of the background into another residual group. What does its anchor read, and which anchors does
#    the pixel attend to?
# 2. Let `gapl` leave out `before` (eq. 8). By how much does the result of the whole network change?
#
# Next: [02, Which pixels made this result?](02_local_attribution.ipynb)
