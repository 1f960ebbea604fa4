"""WSA: multi-head self-attention within windows, with a learned relative position bias (Swin, ICCV 2021)."""

import torch
from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.attention import attend_groups
from promptsr.model.groups import window_groups
from promptsr.model.taps import MapTap
from promptsr.model.token_layers import project


class WindowSelfAttention(nn.Module):
    """Self-attention within windows of ws x ws tokens; `shifted` moves the windows by ws/2.

    Tap: `weights`, B x windows x heads x ws^2 x ws^2, windows in reading order.
    """

    def __init__(self, config: ModelConfig, shifted: bool) -> None:
        super().__init__()
        self.window = config.window_size
        self.shift = config.window_size // 2 if shifted else 0
        self.heads = config.heads
        self.scale = (config.channels // config.heads) ** -0.5
        self.position_bias = nn.Parameter(torch.zeros((2 * self.window - 1) ** 2, self.heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.register_buffer("position_index", _relative_positions(self.window), persistent=False)
        self.position_index: Tensor
        self.register_buffer(
            "shift_masks", _shift_masks(self.window, self.shift) if shifted else None, persistent=False
        )
        self.shift_masks: Tensor | None
        self.projection = nn.Linear(config.channels, config.channels)
        self.weights = MapTap()

    def forward(self, qkv: Tensor) -> Tensor:
        """Attend and project.

        Args:
            qkv: queries, keys and values side by side, B x H x W x 3C, H and W multiples of ws.

        Returns:
            B x H x W x C.
        """
        groups = window_groups(qkv, self.window, self.shift, self.shift_masks)
        tokens = qkv.flatten(0, 2)  # B x H x W x 3C -> BHW x 3C
        # Table of (2 ws - 1)^2 x heads -> heads x ws^2 x ws^2. Torch differentiates this 20 times faster than rows.
        chosen = self.position_bias.t().index_select(1, self.position_index.flatten())
        bias = chosen.unflatten(1, self.position_index.shape)
        out = attend_groups(tokens, groups, self.heads, self.scale, bias, self.weights)
        return project(out.unflatten(0, qkv.shape[:3]), self.projection)  # BHW x C -> B x H x W x C


def _relative_positions(window: int) -> Tensor:
    """Return the index into the table of (2 ws - 1)^2 biases for each pair of tokens of a window: ws^2 x ws^2."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def _shift_masks(window: int, shift: int) -> Tensor:
    """Return 4 x ws^2 x ws^2: for windows inside, in the last column, in the last row, and in both.

    Tokens that are not neighbours in the image are -100 apart, as in Swin; the others 0.
    """
    wrapped = torch.arange(window) >= window - shift
    y = wrapped[:, None].expand(window, window).flatten()
    x = wrapped[None, :].expand(window, window).flatten()
    apart_y = y[:, None] != y[None, :]
    apart_x = x[:, None] != x[None, :]
    nothing = torch.zeros_like(apart_y)
    return torch.stack([nothing, apart_x, apart_y, apart_x | apart_y]).float() * -100.0
