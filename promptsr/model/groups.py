"""Groups of tokens that attend to each other: the windows of WSA and the categories of CSA."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Tokens of each group, for a whole batch."""

    members: Tensor
    """Groups x size, indices of tokens into the B HW tokens of the batch; all groups of an image follow each other."""
    per_image: int
    """Groups of one image."""
    fillers: int = 0
    """This many first members of each image's last group only fill it up: they belong to the group before it as well,
    and keep the result from there."""
    masks: Tensor | None = None
    """Added to the similarities of some groups: masks x size x size, each symmetric; mask 0 is all zeros."""
    masked: tuple[Tensor, ...] = ()
    """The numbers of the groups that take mask 0, mask 1, ..."""

    def mask_of_group(self) -> Tensor | None:
        """Return the mask that each group takes, or None without masks."""
        if self.masks is None:
            return None
        numbers = torch.zeros(len(self.members), dtype=torch.int64, device=self.members.device)
        for number, groups in enumerate(self.masked):
            numbers[groups] = number
        return numbers

    def split(self, tokens: Tensor, heads: int, members: Tensor | None = None) -> Tensor:
        """Return queries, keys and values of each group.

        Args:
            tokens: queries, keys and values side by side, B HW x 3C.
            heads: parts that C is divided into.
            members: those of some of the groups, instead of all.

        Returns:
            3 x groups x heads x size x C/heads.
        """
        members = self.members if members is None else members
        grouped = tokens.index_select(0, members.flatten()).unflatten(0, members.shape)  # groups x size x 3C
        # groups x size x 3 x heads x C/heads -> 3 x groups x heads x size x C/heads
        return grouped.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)

    def join(self, results: Tensor) -> Tensor:
        """Put every token back in its place: groups x heads x size x C/heads -> B HW x C."""
        results = results.transpose(1, 2).flatten(2)  # -> groups x size x C
        order, kept = self._own(self.members), self._own(results)
        return torch.empty_like(kept).index_copy(0, order, kept)

    def _own(self, values: Tensor) -> Tensor:
        """Drop the fillers: groups x size x ... -> B HW x ..."""
        if not self.fillers:
            return values.flatten(0, 1)
        images = values.unflatten(0, (-1, self.per_image))  # B x groups of an image x size x ...
        own = torch.cat([images[:, :-1].flatten(1, 2), images[:, -1, self.fillers :]], dim=1)  # B x HW x ...
        return own.flatten(0, 1)


def window_groups(qkv: Tensor, window: int, shift: int = 0, masks: Tensor | None = None) -> Groups:
    """Cut the image into windows of ws x ws tokens in reading order, the first one `shift` tokens down and right.

    The windows at the end go on at the beginning of the image, and masks keep what meets there apart.

    Args:
        qkv: B x H x W x ..., H and W multiples of ws; only its shape and device matter.
        window: ws, the side of a window.
        shift: less than `window`.
        masks: needed when shifted: for windows inside, in the last column, in the last row, and in both,
            4 x ws^2 x ws^2.
    """
    batch, height, width = qkv.shape[:3]
    rows, columns = height // window, width // window
    tokens = torch.arange(batch * height * width, device=qkv.device).view(batch, height, width)
    if shift:
        tokens = tokens.roll((-shift, -shift), dims=(1, 2))
    grid = tokens.view(batch, rows, window, columns, window).transpose(2, 3)  # B x H/ws x W/ws x ws x ws
    members = grid.reshape(-1, window * window)
    if not shift:
        return Groups(members, rows * columns)
    number = torch.arange(len(members), device=qkv.device).view(batch, rows, columns)
    inner, last = slice(None, -1), slice(-1, None)
    places = ((inner, inner), (inner, last), (last, inner), (last, last))
    masked = tuple(number[:, r, c].flatten() for r, c in places)
    return Groups(members, rows * columns, 0, masks, masked)


def category_groups(category: Tensor, size: int) -> Groups:
    """Sort tokens by category and then by position, and cut them into groups of `size`.

    When `size` does not divide the tokens, the last group is filled up with the tokens just before it.

    Args:
        category: B x HW.
        size: at most HW.
    """
    batch, count = category.shape
    order = category.argsort(dim=1, stable=True)
    groups = -(-count // size)
    starts = torch.arange(0, count, size, device=category.device).clamp(max=count - size)
    places = starts[:, None] + torch.arange(size, device=category.device)  # groups of an image x size
    first = count * torch.arange(batch, device=category.device)
    members = order[:, places] + first[:, None, None]  # B x groups of an image x size
    return Groups(members.flatten(0, 1), groups, groups * size - count)
