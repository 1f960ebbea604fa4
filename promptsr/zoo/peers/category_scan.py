"""The scan of MambaIRv2, which visits the pixels of one category after those of another."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptsr.zoo.peers.selective_scan import selective_scan


class CategoryScan(nn.Module):
    """ASSM: a selective scan that goes through the pixels of one category after those of another.

    A prompt of each pixel's category is added to what is read from the states.
    """

    def __init__(
        self, width: int, inner: int, rank: int = 3, states: int = 8, categories: int = 64, prompts: int = 32
    ) -> None:
        super().__init__()
        self._sizes = (rank, states, states)
        self.route = nn.Sequential(nn.Linear(width, width // 3), nn.GELU(), nn.Linear(width // 3, categories))
        self.mixtures = nn.Parameter(torch.zeros(categories, prompts))
        self.prompts = nn.Parameter(torch.zeros(prompts, states))
        self.in_proj = nn.Conv2d(width, inner, 1)
        self.gate = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.zeros(1, rank + 2 * states, inner))
        self.dt_projs_weight = nn.Parameter(torch.zeros(1, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.zeros(1, inner))
        self.A_logs = nn.Parameter(torch.zeros(inner, states))
        self.Ds = nn.Parameter(torch.ones(inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, features: Tensor, random: torch.Generator) -> Tensor:
        """B x H x W x C, and the source of the noise -> B x H x W x C."""
        choice = self._choose(features.flatten(1, 2), random)
        order = choice.argmax(2).sort(dim=1, stable=True).indices[:, :, None]  # B x HW x 1
        x = self.in_proj(features.movedim(-1, 1))
        x = (x * self.gate(x).sigmoid()).flatten(2).mT  # B x HW x inner
        lines = x.take_along_dim(order, 1)[:, None]  # B x 1 x HW x inner
        steps, writes, reads = (lines @ self.x_proj_weight.mT).split(self._sizes, 3)
        steps = F.softplus(steps @ self.dt_projs_weight.mT + self.dt_projs_bias[:, None])
        # As in the original, a place in the scan gets the prompt of the pixel at that place in the image.
        reads = reads + (choice @ (self.mixtures @ self.prompts))[:, None]
        rates = -self.A_logs.exp()[None]
        # Its steps would keep states of the whole image for the gradients: they are computed once more instead.
        y = checkpoint(selective_scan, lines, steps, rates, writes, reads, use_reentrant=False)
        y = self.out_proj(self.out_norm((y + lines * self.Ds)[:, 0]))  # B x HW x C
        return y.take_along_dim(order.argsort(1), 1).view(features.shape)

    def _choose(self, pixels: Tensor, random: torch.Generator) -> Tensor:
        """Draw a category for each pixel: B x HW x C -> B x HW x categories, 1 for that and 0 for the others.

        Gradients are those of the softmax over the noisy scores, from which the largest is taken.
        """
        scores = self.route(pixels)
        noise = -torch.rand(scores.shape[1:], generator=random).log().neg().log()  # Gumbel's distribution
        shares = (scores + noise.to(scores)).softmax(2)
        chosen = torch.zeros_like(shares).scatter(2, shares.argmax(2, keepdim=True), 1.0)
        return chosen + shares - shares.detach()
