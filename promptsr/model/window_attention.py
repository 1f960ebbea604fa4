"""WSA: multi-head self-attention within windows, with a learned relative position bias (Swin, ICCV 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.attention import attend, similarity
from promptsr.model.taps import Explicit, Tap


class WindowSelfAttention(Explicit):
    """Self-attention within windows of ws x ws tokens; `shifted` moves the windows by ws/2.

    Tap on the explicit path: `weights`, B x windows x heads x ws^2 x ws^2, windows in reading order.
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
        if shifted:
            self.register_buffer("shift_masks", _shift_masks(self.window, self.shift), persistent=False)
            self.shift_masks: Tensor
        self.projection = nn.Linear(config.channels, config.channels)
        self.softmax = nn.Softmax(dim=-1)
        self.weights = Tap(of_map=True)

    def forward(self, qkv: Tensor) -> Tensor:
        """Attends and projects.

        Args:
            qkv: queries, keys and values side by side, B x H x W x 3C, H and W multiples of ws.

        Returns:
            B x H x W x C.
        """
        if self.shift:
            qkv = qkv.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = self._split(qkv)  # 3 x B x H/ws x W/ws x heads x ws^2 x C/heads
        # No fused kernel has a gradient for the bias: while it is trained the weights are stored in any case.
        trained = torch.is_grad_enabled() and self.position_bias.requires_grad
        out = self._explicit(windows) if self.explicit or trained else self._fused(windows)
        out = self._join(out)  # B x H x W x C
        if self.shift:
            out = out.roll((self.shift, self.shift), dims=(1, 2))
        return self.projection(out)

    def _split(self, qkv: Tensor) -> Tensor:
        b, h, w, _ = qkv.shape
        s = self.window
        # B x H x W x 3C -> B x H/ws x ws x W/ws x ws x 3 x heads x C/heads
        grid = qkv.view(b, h // s, s, w // s, s, 3, self.heads, -1)
        # -> 3 x B x H/ws x W/ws x heads x ws^2 x C/heads
        return grid.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6)

    def _join(self, windows: Tensor) -> Tensor:
        s = self.window
        # B x H/ws x W/ws x heads x ws^2 x C/heads -> B x H/ws x ws x W/ws x ws x heads x C/heads
        grid = windows.unflatten(4, (s, s)).permute(0, 1, 4, 2, 5, 3, 6)
        return grid.flatten(5, 6).flatten(3, 4).flatten(1, 2)  # -> B x H x W x C

    def _fused(self, windows: Tensor) -> Tensor:
        bias = self._bias()
        if not self.shift:
            return _attend_windows(windows, bias, self.scale)
        # Only windows in the last row or column hold tokens that the roll brought from the other side, so four
        # masks serve all windows: no bias of the size windows x ws^2 x ws^2 is ever made.
        rows = [
            torch.cat([_attend_windows(part, bias + mask, self.scale) for part, mask in parts], dim=2)
            for parts in self._by_border(windows)
        ]
        return torch.cat(rows, dim=1)

    def _by_border(self, windows: Tensor) -> list[list[tuple[Tensor, Tensor]]]:
        """The windows apart by what the shift mask says, with that mask: [[inner, right], [bottom, corner]]."""
        masks = self.shift_masks
        last_row, last_column = windows.shape[2] - 1, windows.shape[3] - 1
        rows = ((slice(None, last_row), 0), (slice(last_row, None), 1))
        columns = ((slice(None, last_column), 0), (slice(last_column, None), 1))
        return [[(windows[:, :, r, c], masks[bottom, right]) for c, right in columns] for r, bottom in rows]

    def _explicit(self, windows: Tensor) -> Tensor:
        q, k, v = windows
        bias = self._bias().expand(q.shape[1], q.shape[2], -1, -1, -1)  # H/ws x W/ws x heads x ws^2 x ws^2
        if self.shift:
            bottom = torch.arange(q.shape[1], device=q.device).eq(q.shape[1] - 1).long()
            right = torch.arange(q.shape[2], device=q.device).eq(q.shape[2] - 1).long()
            bias = bias + self.shift_masks[bottom[:, None], right[None, :], None]
        weights = self.softmax(similarity(q, k, self.scale) + bias)
        weights = self.weights(weights.flatten(1, 2)).view_as(weights)  # B x windows x ... -> B x H/ws x W/ws x ...
        return weights @ v

    def _bias(self) -> Tensor:
        bias = F.embedding(self.position_index, self.position_bias)  # ws^2 x ws^2 x heads
        return bias.permute(2, 0, 1)  # heads x ws^2 x ws^2


def _attend_windows(windows: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Fused attention; windows: 3 x B x h x w x heads x ws^2 x C/heads, bias: heads x ws^2 x ws^2."""
    q, k, v = windows.flatten(1, 3)  # 3 x Bhw x heads x ws^2 x C/heads
    return attend(q, k, v, scale, bias.to(q.dtype)).unflatten(0, windows.shape[1:4])


def _relative_positions(window: int) -> Tensor:
    """Index into the table of (2 ws - 1)^2 biases for each pair of tokens of a window: ws^2 x ws^2."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def _shift_masks(window: int, shift: int) -> Tensor:
    """The four masks of shifted windows, 2 x 2 x ws^2 x ws^2, by [in the bottom row?][in the right column?].

    Tokens that were not neighbours before the roll are -100 apart, as in Swin; the others 0.
    """
    wrapped = torch.arange(window) >= window - shift
    y = wrapped[:, None].expand(window, window).flatten()
    x = wrapped[None, :].expand(window, window).flatten()
    apart_y = y[:, None] != y[None, :]
    apart_x = x[:, None] != x[None, :]
    nothing = torch.zeros_like(apart_y)
    masks = torch.stack([nothing, apart_x, apart_y, apart_x | apart_y])
    return (masks.float() * -100.0).unflatten(0, (2, 2))
