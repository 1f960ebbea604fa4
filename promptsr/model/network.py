"""PromptSR (Fig. 2a): encoder, residual groups of cascade prompting blocks, decoder.

Liu et al., "PromptSR: Cascade Prompting for Lightweight Image Super-Resolution". Equation numbers in this package
are the paper's. Read on in `cascade`, `global_prompting`, `local_prompting`, `window_attention` and
`category_attention`; docs/reconstruction.md says what the paper leaves open.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.config import ModelConfig, preset
from promptsr.imaging.resize import upscale
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.token_layers import full_precision
from promptsr.support.errors import UserError


class PromptSR(nn.Module):
    """Upscales images of any size from 1 x 1 on by `config.scale`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.encoder = nn.Conv2d(3, c, 3, padding=1)
        self.groups = nn.ModuleList(ResidualGroup(config) for _ in range(config.groups))
        self.fusion = nn.Conv2d(c, c, 3, padding=1)
        upsampling = nn.Conv2d(c, 3 * config.scale**2, 3, padding=1)
        if config.bicubic_skip:  # start as bicubic
            for parameter in upsampling.parameters():
                nn.init.zeros_(parameter)
        self.decoder = nn.Sequential(upsampling, nn.PixelShuffle(config.scale))

    def forward(self, image: Tensor) -> Tensor:
        """Upscale.

        Args:
            image: I_LR, B x 3 x H x W in [0, 1].

        Returns:
            I_SR, B x 3 x sH x sW, not clamped.

        Raises:
            UserError: the input is not a batch of colour images.
        """
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise UserError(f"The network takes images of shape B x 3 x H x W, not {tuple(image.shape)}.")
        height, width = image.shape[2:]
        padded = pad_to_multiple(image, self.config.size_multiple)
        # Under autocast the convolution gives half precision, and so would all that is added to it later.
        shallow = self.encoder(padded).to(image.dtype)  # eq. 1, B x C x H x W
        x = shallow
        for group in self.groups:
            x = group(x)  # eq. 2
        with full_precision(x):
            deep = self.fusion(x)  # eq. 3
            out = self.decoder(deep + shallow)  # eq. 4
        s = self.config.scale
        out = out[:, :, : s * height, : s * width]
        return out + upscale(image, s) if self.config.bicubic_skip else out


class ResidualGroup(nn.Module):
    """RG: N cascade prompting blocks and a 3x3 convolution around a residual. Anchor prompts do not leave it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CascadePromptingBlock(config) for _ in range(config.blocks_per_group))
        self.convolution = nn.Conv2d(config.channels, config.channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        x = features.permute(0, 2, 3, 1).contiguous()  # B x C x H x W -> B x H x W x C
        prompts = None
        for block in self.blocks:
            x, prompts = block(x, prompts)
        return self.convolution(x.permute(0, 3, 1, 2)) + features  # B x H x W x C -> B x C x H x W


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad B x C x H x W on the right and at the bottom until both sides are multiples of `multiple`.

    By reflection, or by replication along a side that is too short to be reflected.
    """
    height, width = image.shape[2:]
    right, bottom = -width % multiple, -height % multiple
    if right:
        image = F.pad(image, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if bottom:
        image = F.pad(image, (0, 0, 0, bottom), mode="reflect" if bottom < height else "replicate")
    return image


def build_model(name: str = "promptsr", **overrides: Any) -> PromptSR:
    """Build a network with fresh weights: `build_model("promptsr", scale=4, blocks_per_group=2)`.

    Raises:
        ConfigError: unknown preset or setting.
    """
    return PromptSR(preset(name, **overrides))
