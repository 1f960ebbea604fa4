"""NLSN: Mei et al., "Image Super-Resolution with Non-Local Sparse Attention", CVPR 2021."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import pad_to
from promptsr.zoo.peers.parts import FixedConvolution, ResidualBlock, enlarging
from promptsr.zoo.peers.peer import Peer

_SIDE = 12
_CHUNK, _HASHES, _MOST_BUCKETS = _SIDE**2, 4, 128
_RESIDUAL, _EVERY = 0.1, 8
"""Weight of a residual block's result; number of blocks between two attentions."""


class NLSN(Peer):
    """Upscale images of any size from 1 x 1 on; shorter sides than 12 pixels are padded to these.

    The original draws the directions by which it sorts pixels at random in each pass. Here they come from the same seed
    each time: one image has one result.
    """

    TITLE = "NLSN"
    NAMES: ClassVar[dict[str, str]] = {
        "head.0.": "encoder.",
        "conv_match.0.": "match.",
        "conv_assembly.0.": "assembly.",
        ".body.": ".",
        "tail.0.": "upsampling.",
        "tail.1.": "decoder.",
    }
    MIN_TILE = _SIDE
    BYTES_PER_PIXEL = 65536

    def __init__(self, scale: int, width: int = 256, blocks: int = 32) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = FixedConvolution(), FixedConvolution()
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList([SparseAttention(width)])
        for number in range(1, blocks + 1):
            self.body.append(ResidualBlock(width, _RESIDUAL))
            if number % _EVERY == 0:
                self.body.append(SparseAttention(width))
        self.body.append(nn.Conv2d(width, width, 3, padding=1))
        self.upsampling = enlarging(width, scale)
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        blocks = sum(re.fullmatch(r"body\.\d+\.2\.bias", name) is not None for name in state)
        return {"width": len(state["encoder.weight"]), "blocks": blocks}

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        height, width = image.shape[2:]
        random = torch.Generator().manual_seed(0)
        shallow = x = self.encoder(self.sub_mean(pad_to(image, 1, _SIDE)))
        for part in self.body:
            x = part(x, random) if isinstance(part, SparseAttention) else part(x)
        out: Tensor = self.add_mean(self.decoder(self.upsampling(x + shallow)))
        return out[..., : self.scale * height, : self.scale * width]


class SparseAttention(nn.Module):
    """NLSA: sort pixels so that similar ones are neighbours, and attend within chunks of them; several rounds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.match = nn.Conv2d(width, width // 4, 3, padding=1)
        self.assembly = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, random: torch.Generator) -> Tensor:
        """B x C x H x W, and the source of the directions -> B x C x H x W."""
        match = self.match(features).flatten(2).mT  # B x L x C'
        values = self.assembly(features).flatten(2).mT
        batch, length = match.shape[:2]
        order = self._sort(match.detach(), random)  # B x rounds L
        place = order.argsort(1)
        match, values = (self._chunks(each, order % length) for each in (match, values))
        near = _with_neighbours(F.normalize(match, dim=4, eps=5e-5))
        scores = match @ near.mT  # B x rounds x chunks x N x 3N
        weight = scores.logsumexp(4, keepdim=True)
        got = (scores - weight).exp() @ _with_neighbours(values)
        got, weight = (
            each.flatten(2, 3)[:, :, :length].flatten(1, 2).gather(1, place[..., None].expand(-1, -1, each.shape[4]))
            for each in (got, weight)
        )
        shares = weight.view(batch, _HASHES, length, 1).softmax(1)
        mixed = (got.view(batch, _HASHES, length, -1) * shares).sum(1)
        return _RESIDUAL * mixed.mT.reshape(features.shape) + features

    def _sort(self, match: Tensor, random: torch.Generator) -> Tensor:
        """Return all pixels, by the direction that is nearest to them, round after round: B x rounds L."""
        length, channels = match.shape[1:]
        chunks = length // _CHUNK
        buckets = min(chunks + chunks % 2, _MOST_BUCKETS)
        directions = torch.randn(channels, _HASHES, buckets // 2, generator=random).to(match)
        angles = torch.einsum("blc,chi->bhli", match, directions)
        codes = torch.cat([angles, -angles], 3).argmax(3)  # B x rounds x L
        rounds = torch.arange(_HASHES, device=match.device)[:, None]
        return (codes + buckets * rounds).flatten(1).sort(1).indices

    def _chunks(self, pixels: Tensor, order: Tensor) -> Tensor:
        """Return B x L x C in an order, cut: B x rounds x chunks x N x C. The last pixels fill up the last chunk."""
        sorted_pixels = pixels.gather(1, order[..., None].expand(-1, -1, pixels.shape[2])).unflatten(1, (_HASHES, -1))
        missing = -pixels.shape[1] % _CHUNK
        filled = torch.cat([sorted_pixels, sorted_pixels[:, :, pixels.shape[1] - missing :]], 2)
        return filled.unflatten(2, (-1, _CHUNK))


def _with_neighbours(chunks: Tensor) -> Tensor:
    """Return each chunk with the previous and the next one: B x rounds x chunks x 3N x C."""
    return torch.cat([chunks, chunks.roll(1, 2), chunks.roll(-1, 2)], 3)
