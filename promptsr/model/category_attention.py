"""CSA: multi-head self-attention among tokens of one category, wherever they lie (ATD, CVPR 2024; Fig. 2d)."""

import math

import torch
from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.attention import attend_groups
from promptsr.model.groups import category_groups
from promptsr.model.taps import MapTap
from promptsr.model.token_layers import project

_LARGEST_SCALE = 100.0


class CategorySelfAttention(nn.Module):
    """Tokens are sorted by category, cut into groups of `category_size`, and attend within their group.

    The last group is filled up with the tokens just before it; those keep the result of their own group.
    (ATD mirrors the last tokens instead.)
    Tap: `weights`, B x groups x heads x size x size, tokens in sorted order.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.size = config.category_size
        self.heads = config.heads
        # The logarithm of the factor on the similarities, in place of 1/sqrt(head dimension)
        self.logit_scale = nn.Parameter(torch.tensor([math.log(10.0)]))
        self.projection = nn.Linear(config.channels, config.channels)
        self.weights = MapTap()

    def forward(self, qkv: Tensor, category: Tensor, rest: Tensor | None = None) -> Tensor:
        """Attend and project.

        Args:
            qkv: queries, keys and values side by side, B x H x W x 3C.
            category: category of each token, B x HW.
            rest: added to the result, B x H x W x C.

        Returns:
            B x H x W x C.
        """
        groups = category_groups(category, min(self.size, category.shape[1]))
        tokens = qkv.flatten(0, 2)  # B x H x W x 3C -> BHW x 3C
        scale = self.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        out = attend_groups(tokens, groups, self.heads, scale, tap=self.weights)
        return project(out.unflatten(0, qkv.shape[:3]), self.projection, rest=rest)  # BHW x C -> B x H x W x C
