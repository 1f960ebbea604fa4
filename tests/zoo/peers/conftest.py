"""Each peer's definition, written out plainly on tensors that have the names of the original checkpoint."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
PATCHES = (12, 16, 20, 24, 12, 16, 20, 24)


class Weights:
    """Random double tensors under the names that the authors use."""

    def __init__(self, seed: int) -> None:
        self.state: State = {}
        self.generator = torch.Generator().manual_seed(seed)

    def tensor(self, name: str, *shape: int, spread: float = 1.0) -> None:
        self.state[name] = spread * torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def convolution(self, name: str, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        fan_in = inputs // groups * kernel**2
        self.tensor(f"{name}.weight", outputs, inputs // groups, kernel, kernel, spread=fan_in**-0.5)
        self.tensor(f"{name}.bias", outputs, spread=0.1)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool) -> None:
        self.tensor(f"{name}.weight", outputs, inputs, spread=inputs**-0.5)
        if bias:
            self.tensor(f"{name}.bias", outputs, spread=0.1)

    def norm(self, name: str) -> None:
        self.tensor(f"{name}.weight", 56)
        self.tensor(f"{name}.bias", 56)


def imdn_weights(scale: int) -> State:
    w = Weights(scale)
    w.convolution("fea_conv", 3, 64, 3)
    for i in range(1, 7):
        for j, (inputs, outputs) in enumerate([(64, 64), (48, 64), (48, 64), (48, 16)], start=1):
            w.convolution(f"IMDB{i}.c{j}", inputs, outputs, 3)
        w.convolution(f"IMDB{i}.c5", 64, 64, 1)
        w.convolution(f"IMDB{i}.cca.conv_du.0", 64, 4, 1)
        w.convolution(f"IMDB{i}.cca.conv_du.2", 4, 64, 1)
    w.convolution("c.0", 384, 64, 1)
    w.convolution("LR_conv", 64, 64, 3)
    w.convolution("upsampler.0", 64, 3 * scale**2, 3)
    return w.state


def smfanet_weights(scale: int) -> State:
    w = Weights(scale)
    w.convolution("to_feat", 3, 48, 3)
    for i in range(12):
        smfa, pcfn = f"feats.{i}.smfa", f"feats.{i}.pcfn"
        w.tensor(f"{smfa}.alpha", 1, 48, 1, 1)
        w.tensor(f"{smfa}.belt", 1, 48, 1, 1)
        w.convolution(f"{smfa}.linear_0", 48, 96, 1)
        w.convolution(f"{smfa}.linear_1", 48, 48, 1)
        w.convolution(f"{smfa}.linear_2", 48, 48, 1)
        w.convolution(f"{smfa}.lde.conv_0.0", 48, 96, 3, groups=48)
        w.convolution(f"{smfa}.lde.conv_0.1", 96, 96, 1)
        w.convolution(f"{smfa}.lde.conv_1", 96, 48, 1)
        w.convolution(f"{smfa}.dw_conv", 48, 48, 3, groups=48)
        w.convolution(f"{pcfn}.conv_0", 48, 96, 1)
        w.convolution(f"{pcfn}.conv_1", 24, 24, 3)
        w.convolution(f"{pcfn}.conv_2", 96, 48, 1)
    w.convolution("to_img.0", 48, 3 * scale**2, 3)
    return w.state


def hpinet_weights(scale: int) -> State:
    w = Weights(scale)
    w.convolution("first_conv", 3, 56, 3)
    for i in range(8):
        for j in range(3):
            layer = f"blocks.{i}.layers.{j}"
            w.norm(f"{layer}.0.norm")
            w.linear(f"{layer}.0.fn.to_q", 56, 32, bias=False)
            w.linear(f"{layer}.0.fn.to_k", 56, 32, bias=False)
            w.linear(f"{layer}.0.fn.to_v", 56, 56, bias=False)
            w.norm(f"{layer}.1.norm")
            w.linear(f"{layer}.1.fn.fc1", 56, 100, bias=True)
            w.linear(f"{layer}.1.fn.fc2", 100, 56, bias=True)
        w.convolution(f"mid_convs.{i}", 56, 56, 3)
        w.norm(f"cross_match.{i}.norm")
    for name in ("upconv1", "upconv2") if scale == 4 else ("upconv",):
        w.convolution(name, 56, 224 if scale == 4 else 56 * scale**2, 3)
    w.convolution("last_conv", 56, 3, 3)
    return w.state


def conv(w: State, name: str, x: Tensor, groups: int = 1) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2, groups=groups)


def imdn(w: State, scale: int, image: Tensor) -> Tensor:
    first = x = conv(w, "fea_conv", image)
    outputs = []
    for i in range(1, 7):
        rest, kept = x, []
        for j in range(1, 4):
            y = F.leaky_relu(conv(w, f"IMDB{i}.c{j}", rest), 0.05)
            kept.append(y[:, :16])
            rest = y[:, 16:]
        y = torch.cat([*kept, conv(w, f"IMDB{i}.c4", rest)], 1)
        mean = y.mean((2, 3), keepdim=True)
        contrast = ((y - mean) ** 2).mean((2, 3), keepdim=True).sqrt() + mean
        gate = conv(w, f"IMDB{i}.cca.conv_du.2", F.relu(conv(w, f"IMDB{i}.cca.conv_du.0", contrast)))
        x = x + conv(w, f"IMDB{i}.c5", y * torch.sigmoid(gate))
        outputs.append(x)
    deep = conv(w, "LR_conv", F.leaky_relu(conv(w, "c.0", torch.cat(outputs, 1)), 0.05))
    return F.pixel_shuffle(conv(w, "upsampler.0", deep + first), scale)


def smfanet(w: State, scale: int, image: Tensor) -> Tensor:
    first = x = conv(w, "to_feat", image)
    height, width = image.shape[2:]
    for i in range(12):
        smfa, pcfn = f"feats.{i}.smfa", f"feats.{i}.pcfn"
        z = conv(w, f"{smfa}.linear_0", x / x.norm(dim=1, keepdim=True))
        y, a = z[:, :48], z[:, 48:]
        pooled = conv(w, f"{smfa}.dw_conv", F.adaptive_max_pool2d(a, (height // 8, width // 8)), groups=48)
        squares = ((a - a.mean((2, 3), keepdim=True)) ** 2).sum((2, 3), keepdim=True)
        mixed = w[f"{smfa}.alpha"] * pooled + w[f"{smfa}.belt"] * squares / (height * width - 1)
        gate = F.interpolate(F.gelu(conv(w, f"{smfa}.linear_1", mixed)), size=(height, width))
        y = conv(w, f"{smfa}.lde.conv_0.1", conv(w, f"{smfa}.lde.conv_0.0", y, groups=48))
        x = x + conv(w, f"{smfa}.linear_2", a * gate + conv(w, f"{smfa}.lde.conv_1", F.gelu(y)))
        y = F.gelu(conv(w, f"{pcfn}.conv_0", x / x.norm(dim=1, keepdim=True)))
        y = torch.cat([F.gelu(conv(w, f"{pcfn}.conv_1", y[:, :24])), y[:, 24:]], 1)
        x = x + conv(w, f"{pcfn}.conv_2", y)
    return F.pixel_shuffle(conv(w, "to_img.0", x + first), scale)


def starts(length: int, size: int) -> list[int]:
    """Where patches begin: every size - 2 pixels, the last one moved back."""
    found = [0]
    while found[-1] + size < length:
        found.append(min(found[-1] + size - 2, length - size))
    return found


def hpinet(w: State, scale: int, image: Tensor) -> Tensor:
    """Compute the result of one image, patch by patch."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (56,), w[f"{name}.weight"], w[f"{name}.bias"])

    x = conv(w, "first_conv", image)
    for i, size in enumerate(PATCHES):
        high, wide = min(size, x.shape[2]), min(size, x.shape[3])
        corners = [(top, left) for top in starts(x.shape[2], high) for left in starts(x.shape[3], wide)]
        patches = [x[0, :, t : t + high, v : v + wide].reshape(56, -1).T for t, v in corners]
        means = [norm(f"cross_match.{i}.norm", patch.mean(0)) for patch in patches]
        total = torch.zeros_like(x)
        for a, (top, left) in enumerate(corners):
            others = [b for b in range(len(patches)) if b != a] or [a]
            match = patches[max(others, key=lambda b: float(means[a] @ means[b]))]
            y = patches[a]
            for j in range(3):
                layer = f"blocks.{i}.layers.{j}"
                normal = norm(f"{layer}.0.norm", y)
                context = normal if j else match
                inputs = {"q": normal, "k": context, "v": context}
                q, k, v = (z @ w[f"{layer}.0.fn.to_{n}.weight"].T for n, z in inputs.items())
                y = y + torch.softmax(q @ k.T / math.sqrt(32), 1) @ v
                hidden = F.linear(norm(f"{layer}.1.norm", y), *(w[f"{layer}.1.fn.fc1.{n}"] for n in ("weight", "bias")))
                y = y + F.linear(F.gelu(hidden), *(w[f"{layer}.1.fn.fc2.{n}"] for n in ("weight", "bias")))
            total[0, :, top : top + high, left : left + wide] += y.T.reshape(56, high, wide)
        for axis, extent in ((2, high), (3, wide)):
            begins = starts(x.shape[axis], extent)
            for previous, begin in itertools.pairwise(begins):
                total.narrow(axis, begin, previous + extent - begin).div_(2)
        x = x + conv(w, f"mid_convs.{i}", total)
    for name in ("upconv1", "upconv2") if scale == 4 else ("upconv",):
        x = F.leaky_relu(F.pixel_shuffle(conv(w, name, x), 2 if scale == 4 else scale), 0.1)
    return conv(w, "last_conv", x) + F.interpolate(image, scale_factor=scale, mode="bilinear")


ORIGINALS = {"imdn": (imdn_weights, imdn), "smfanet": (smfanet_weights, smfanet), "hpinet": (hpinet_weights, hpinet)}
"""Random weights for a scale, and the forward pass of one image in double precision, of each network."""
