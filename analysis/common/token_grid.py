"""The grid of a PromptSR network's tokens over an image: padding, anchors and windows."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.support.errors import UserError

_MASKED = 1e-30
"""Weights below it are masked: the mask of shifted windows leaves about e^-100 of them."""


@dataclass(frozen=True)
class TokenGrid:
    """Tokens of a padded image; layers see one token for each pixel, and one anchor for each d x d of them."""

    config: ModelConfig
    height: int
    """Height of the image itself, in pixels, like `width`."""
    width: int

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the layers work at."""
        multiple = self.config.size_multiple
        return -(-self.height // multiple) * multiple, -(-self.width // multiple) * multiple

    @property
    def tokens(self) -> int:
        """HW, tokens of the padded image."""
        height, width = self.padded
        return height * width

    @property
    def anchor_grid(self) -> tuple[int, int]:
        """Return the rows and columns of anchors on the padded image, to which the labels of categories refer."""
        height, width = self.padded
        return height // self.config.anchor_stride, width // self.config.anchor_stride

    def size(self, stride: int = 1) -> tuple[int, int]:
        """Return rows and columns of the squares of `stride` x `stride` pixels that touch the image itself."""
        return -(-self.height // stride), -(-self.width // stride)

    def check_pixel(self, x: int, y: int) -> None:
        """Raise a UserError if the image has no such pixel."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise UserError(
                f"The pixel ({x}, {y}) lies outside of the {self.width} x {self.height} image: choose another one."
            )

    def index(self, x: int, y: int, stride: int = 1) -> int:
        """Return the index of the pixel (x, y) among squares of `stride` x `stride` pixels, in reading order."""
        return y // stride * (self.padded[1] // stride) + x // stride

    def cut(self, values: Tensor, stride: int = 1) -> np.ndarray:
        """Cut HW/stride^2 (x C) values on the padded image to a grid on the image alone, ... x ... (x C)."""
        grid = values.unflatten(0, [side // stride for side in self.padded])
        rows, columns = self.size(stride)
        return grid[:rows, :columns].float().cpu().numpy()

    def window_row(self, weights: Tensor, x: int, y: int, shift: int = 0) -> Tensor:
        """Return the weights of the pixel (x, y) in its window: heads x HW on the padded image, each of sum 1.

        Args:
            weights: of window self-attention, 1 x windows x heads x ws^2 x ws^2, windows in reading order after a
                roll by `shift`.
            x: column of the pixel.
            y: its row.
            shift: how far the windows are moved to the right and down.
        """
        window, (height, width) = self.config.window_size, self.padded
        x, y = (x - shift) % width, (y - shift) % height
        row, column = y // window, x // window
        token = y % window * window + x % window
        attention = weights[0, row * (width // window) + column, :, token]  # heads x ws^2
        attention = attention.where(attention > _MASKED, 0)
        whole = attention.new_zeros(len(attention), height, width)
        inside = whole[:, row * window : (row + 1) * window, column * window : (column + 1) * window]
        inside.copy_(attention.unflatten(1, (window, window)))  # heads x ws^2 -> heads x ws x ws
        return whole.roll((shift, shift), dims=(1, 2)).flatten(1)  # heads x H x W -> heads x HW
