"""The feed-forward network (FFN) of eq. 12, 14 and 16."""

from torch import nn


class FeedForward(nn.Sequential):
    """Linear, GELU, linear, on the last dimension: ... x C -> ... x C."""

    def __init__(self, channels: int, ratio: float) -> None:
        hidden = round(channels * ratio)
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))
