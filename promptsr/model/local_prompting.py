"""LPL, the local prompting layer (Fig. 2d, eq. 13 to 16)."""

from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.category_attention import CategorySelfAttention
from promptsr.model.token_layers import FeedForward, feed_forward, project
from promptsr.model.window_attention import WindowSelfAttention


class LocalPromptingLayer(nn.Module):
    """Refines within windows (WSA) and within categories (CSA) at once.

    Without `prompting` there is no CSA, and what is left is the plain window self-attention layer that the
    ablations of Table IV put in the place of prompting layers.
    """

    def __init__(self, config: ModelConfig, *, prompting: bool, shifted: bool) -> None:
        super().__init__()
        c = config.channels
        self.norm_attention = nn.LayerNorm(c)  # this norm, and no bias in qkv, are our choice: docs/reconstruction.md
        self.qkv = nn.Linear(c, 3 * c, bias=False)  # shared by both attentions
        self.window_attention = WindowSelfAttention(config, shifted)
        self.category_attention = CategorySelfAttention(config) if prompting else None
        self.norm = nn.LayerNorm(c)
        self.feed_forward = FeedForward(c, config.mlp_ratio)

    def forward(self, x: Tensor, category: Tensor | None = None) -> Tensor:
        """B x H x W x C -> the same; category: B x HW, needed when the layer prompts."""
        qkv = project(x, self.qkv, self.norm_attention)
        attended = self.window_attention(qkv)
        if self.category_attention is not None:
            assert category is not None
            attended = self.category_attention(qkv, category, rest=attended)
        x = attended + x  # eq. 13 and 15; in this order, since x keeps digits that bfloat16 rounds away
        return feed_forward(x, self.norm, self.feed_forward)  # eq. 14 and 16
