"""CSA: multi-head self-attention among tokens of one category, wherever they lie (ATD, CVPR 2024; Fig. 2d)."""

import math

import torch
from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.attention import attend, similarity
from promptsr.model.taps import Explicit, Tap

_LARGEST_SCALE = 100.0


class CategorySelfAttention(Explicit):
    """Tokens are sorted by category, cut into groups of `category_size`, and attend within their group.

    The last group is filled up with the tokens just before it; those keep the result of their own group.
    Tap on the explicit path: `weights`, B x groups x heads x size x size, tokens in sorted order.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.size = config.category_size
        self.heads = config.heads
        # The logarithm of the factor on the similarities, in place of 1/sqrt(head dimension)
        self.logit_scale = nn.Parameter(torch.tensor([math.log(10.0)]))
        self.projection = nn.Linear(config.channels, config.channels)
        self.softmax = nn.Softmax(dim=-1)
        self.weights = Tap(of_map=True)

    def forward(self, qkv: Tensor, category: Tensor) -> Tensor:
        """Attends and projects.

        Args:
            qkv: queries, keys and values side by side, B x H x W x 3C.
            category: category of each token, B x HW.

        Returns:
            B x H x W x C.
        """
        tokens = qkv.flatten(1, 2)  # B x H x W x 3C -> B x HW x 3C
        count = tokens.shape[1]
        size = min(self.size, count)
        members = group_members(category, size)  # B x groups x size
        groups = members.shape[1]

        # Categorization: B x HW x 3C -> B x groups x size x 3C
        index = members.flatten(1)[..., None]
        grouped = tokens.gather(1, index.expand(-1, -1, tokens.shape[2])).unflatten(1, (groups, size))
        # -> 3 x B x groups x heads x size x C/heads
        q, k, v = grouped.unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        q = q * self.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        if self.explicit:
            out = self.weights(self.softmax(similarity(q, k, 1.0))) @ v
        else:
            # B x groups -> Bgroups and back
            out = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), 1.0).unflatten(0, (-1, groups))
        out = out.transpose(2, 3).flatten(3)  # B x groups x heads x size x C/heads -> B x groups x size x C

        # Uncategorization: drop the fillers of the last group, then put every token back in its place
        fillers = groups * size - count
        kept = torch.cat([out[:, :-1].flatten(1, 2), out[:, -1, fillers:]], dim=1)  # B x HW x C
        order = torch.cat([members[:, :-1].flatten(1), members[:, -1, fillers:]], dim=1)[..., None]
        out = torch.zeros_like(kept).scatter(1, order.expand_as(kept), kept)
        return self.projection(out).unflatten(1, qkv.shape[1:3])  # B x HW x C -> B x H x W x C


def group_members(category: Tensor, size: int) -> Tensor:
    """Which tokens form each group.

    Args:
        category: B x T.
        size: tokens in a group, at most T.

    Returns:
        Token indices, B x ceil(T/size) x size, by category and then by position; the last group ends with the
        last token and overlaps the one before it when size does not divide T.
    """
    order = category.argsort(dim=1, stable=True)
    count = category.shape[1]
    starts = torch.arange(0, count, size, device=category.device).clamp(max=count - size)
    places = starts[:, None] + torch.arange(size, device=category.device)  # groups x size
    return order[:, places]
