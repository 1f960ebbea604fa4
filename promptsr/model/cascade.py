"""CPB, the cascade prompting block (Fig. 2b): one global layer, then two local ones, coarse to fine."""

from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.local_prompting import LocalPromptingLayer
from promptsr.model.token_layers import full_precision


class CascadePromptingBlock(nn.Module):
    """GAPL, LPL on the coarse categories, LPL on the fine ones."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fine_source = config.fine_prompting
        self.global_prompting: GlobalAnchorPromptingLayer | LocalPromptingLayer
        if config.anchor_prompting:
            self.global_prompting = GlobalAnchorPromptingLayer(config)
        else:
            self.global_prompting = LocalPromptingLayer(config, prompting=False, shifted=False)
        self.coarse_prompting = LocalPromptingLayer(config, prompting=config.coarse_prompting, shifted=False)
        # The paper does not say which windows are shifted: those of the fine layer here.
        self.fine_prompting = LocalPromptingLayer(config, prompting=config.fine_prompting != "off", shifted=True)

    def forward(self, x: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run the three layers.

        Args:
            x: B x H x W x C.
            previous: anchor prompts of the block before in this residual group, or None.

        Returns:
            The features, B x H x W x C, and this block's anchor prompts (None without anchor prompting).
        """
        if isinstance(self.global_prompting, LocalPromptingLayer):
            x = self.global_prompting(x)
            return self.fine_prompting(self.coarse_prompting(x)), None
        with full_precision(x):  # categories are the largest similarities: in half precision many would be ties
            x, prompts, coarse, fine = self.global_prompting(x, previous)
        x = self.coarse_prompting(x, coarse)
        x = self.fine_prompting(x, coarse if self.fine_source == "coarse" else fine)
        return x, prompts
