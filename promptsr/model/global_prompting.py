"""GAPL, the global anchor prompting layer (Fig. 2c, eq. 6 to 12)."""

from typing import NamedTuple

from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.attention import attend_all
from promptsr.model.taps import MapTap, Tap
from promptsr.model.token_layers import FeedForward, feed_forward, project


class GlobalPrompting(NamedTuple):
    """Output of a GAPL."""

    features: Tensor
    """X_p, B x H x W x C."""
    anchor_prompts: Tensor
    """P after the update, B x n x C with n = HW/d^2; the next CPB of the group blends it into its own."""
    coarse_category: Tensor
    """For each token the anchor that is most similar in M_coarse, B x HW."""
    fine_category: Tensor
    """For each token the anchor that is most similar in M_fine, B x HW."""


class GlobalAnchorPromptingLayer(nn.Module):
    """Every token reads n = HW/d^2 anchor prompts, each of which has read the whole image.

    Taps: `anchors` and `anchor_prompts` (B x n x C), `coarse_category` and `fine_category` (B x HW), `coarse_map`
    (B x n x HW) and `fine_map` (B x HW x n), both before their softmax.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, d = config.channels, config.anchor_stride
        self.alpha = config.prompt_update
        self.scale = c**-0.5
        self.query = nn.Linear(c, c)  # with bias, and no norm before: our choice, see docs/reconstruction.md
        self.key = nn.Linear(c, c)
        self.value = nn.Linear(c, c)
        # The kernel follows from the printed parameters; zeros at the border are our choice.
        self.downscale = nn.Conv2d(c, c, kernel_size=d + 1, stride=d, padding=d // 2, groups=c)
        self.anchor = nn.Linear(c, c)
        self.prompt_key = _prompt_projection(config)
        self.prompt_value = _prompt_projection(config)
        self.projection = nn.Linear(c, c)  # "Proj" of eq. 11, read as 1 x 1
        self.norm = nn.LayerNorm(c)
        self.feed_forward = FeedForward(c, config.mlp_ratio)

        self.anchors = Tap()
        self.coarse_map = MapTap()
        self.anchor_prompts = Tap()
        self.fine_map = MapTap()
        self.coarse_category = Tap()
        self.fine_category = Tap()

    def forward(self, x: Tensor, previous: Tensor | None) -> GlobalPrompting:
        """Prompt x with its own anchors.

        Args:
            x: B x H x W x C, H and W multiples of d.
            previous: anchor prompts of the CPB before in the same residual group, B x n x C; None in the first.
        """
        # Eq. 6: queries, keys, values of all tokens, and the anchors
        tokens = x.flatten(1, 2)  # B x H x W x C -> B x HW x C
        q, k, v = (project(tokens, layer) for layer in (self.query, self.key, self.value))
        grid = self.downscale(x.permute(0, 3, 1, 2))  # B x C x H x W -> B x C x H/d x W/d
        a = self.anchors(project(grid.flatten(2).transpose(1, 2), self.anchor))  # B x C x H/d x W/d -> B x n x C

        # Eq. 7: the anchors read the whole image
        p, coarse_category = attend_all(a, k, v, self.scale, "query", self.coarse_map)  # B x n x C, B x HW

        # Eq. 8: anchor prompt update, within the residual group only
        if previous is not None:
            p = self.alpha * previous + (1 - self.alpha) * p
        p = self.anchor_prompts(p)

        # Eq. 9: new keys and values from the anchor prompts. (Transposed before it is unflattened, a single image would
        # have strides for which torch takes another convolution than for a batch.)
        prompts = p.unflatten(1, grid.shape[2:]).permute(0, 3, 1, 2)  # B x n x C -> B x C x H/d x W/d
        k_p = self.prompt_key(prompts).flatten(2).transpose(1, 2)  # B x C x H/d x W/d -> B x n x C
        v_p = self.prompt_value(prompts).flatten(2).transpose(1, 2)

        # Eq. 10: every token reads the anchor prompts. The paper's formula of the fine category repeats M_coarse; its
        # text and Fig. 2 say M_fine.
        x_p, fine_category = attend_all(q, k_p + a, v_p, self.scale, "key", self.fine_map)  # B x HW x C, B x HW

        # Eq. 11 and 12
        x = project(x_p, self.projection, rest=tokens).view_as(x)  # B x HW x C -> B x H x W x C
        x = feed_forward(x, self.norm, self.feed_forward)
        return GlobalPrompting(x, p, self.coarse_category(coarse_category), self.fine_category(fine_category))


def _prompt_projection(config: ModelConfig) -> nn.Conv2d:
    """Build W of eq. 9 over the anchor grid. Full C x C matrices would add 45K parameters, not counted in the paper."""
    c = config.channels
    if config.prompt_projection == "linear":
        return nn.Conv2d(c, c, kernel_size=1)
    return nn.Conv2d(c, c, kernel_size=3, padding=1, groups=c)
