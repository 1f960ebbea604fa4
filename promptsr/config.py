"""The configuration of a network, and the named presets.

Every ablation of the paper's Tables IV to VII is a `ModelConfig`, never another class.
"""

from dataclasses import asdict, replace
from math import lcm
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from promptsr.support.errors import ConfigError
from promptsr.support.settings import settings

_LARGEST_MULTIPLE = 512


# The upper bounds are far above any sensible network: a typing error or a damaged file should not ask for all the
# memory there is.
@settings(strict=True)
class ModelConfig:
    """Everything that decides the shape of a PromptSR network. The defaults are the paper's PromptSR x4.

    Raises:
        ConfigError: a value that no network can have.
    """

    scale: int = 4
    """Upscaling factor s."""
    channels: Annotated[int, Field(ge=1, le=1024)] = 48
    """C, channels of every feature map."""
    groups: Annotated[int, Field(ge=1, le=16)] = 4
    """K, residual groups (RG)."""
    blocks_per_group: Annotated[int, Field(ge=1, le=16)] = 3
    """N, cascade prompting blocks (CPB) in each RG. Table IV to VII use 2, PromptSR* uses 4."""
    anchor_stride: Annotated[int, Field(ge=1, le=64, multiple_of=2)] = 8
    """d, the downscale ratio of the anchors (Table V): one anchor for d x d tokens."""
    prompt_update: Annotated[float, Field(ge=0, le=1)] = 0.01
    """alpha of eq. 8 (Table VI): the share of the previous CPB's anchor prompts that is kept."""
    prompt_projection: Literal["depthwise", "linear"] = "depthwise"
    """Projection of P to K_p and V_p (eq. 9): 3x3 depthwise convolutions (matches the printed parameters) or C x C."""
    window_size: Annotated[int, Field(ge=1, le=64)] = 16
    """ws, side of the windows of window self-attention (Table VII)."""
    category_size: Annotated[int, Field(ge=1, le=4096)] = 128
    """Tokens in one group of category self-attention."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    """Heads of window and category self-attention. Global anchor prompting has one."""
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 1.0
    """Hidden width of the feed-forward networks over C."""
    anchor_prompting: bool = True
    """P_anchor of Table IV. Off: GAPL is replaced by a window self-attention layer."""
    coarse_prompting: bool = True
    """P_coarse of Table IV. Off: the first LPL keeps only its window self-attention."""
    fine_prompting: Annotated[
        Literal["fine", "coarse", "off"],
        BeforeValidator(lambda value: "off" if value is False else value),  # as YAML reads off
    ] = "fine"
    """P_fine of Table IV: the second LPL groups tokens by M_fine, by M_coarse again, or not at all."""
    bicubic_skip: bool = False
    """Adds the bicubic upscaling of the input to the output. Not in the paper; shortens short trainings a lot."""

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 3, 4, 8):
            raise ConfigError(f"scale must be 1, 2, 3, 4 or 8, not {self.scale}.")
        if self.size_multiple > _LARGEST_MULTIPLE:
            raise ConfigError(
                f"window_size ({self.window_size}) and anchor_stride ({self.anchor_stride}) must have a common "
                f"multiple of at most {_LARGEST_MULTIPLE}, to which every image is padded."
            )
        if round(self.channels * self.mlp_ratio) < 1:
            raise ConfigError(f"mlp_ratio must be at least 1 / channels, not {self.mlp_ratio}.")
        if self.channels % self.heads:
            raise ConfigError(f"channels ({self.channels}) must be a multiple of heads ({self.heads}).")
        if not self.anchor_prompting and (self.coarse_prompting or self.fine_prompting != "off"):
            raise ConfigError(
                "Without anchor prompting there are no similarity maps: set coarse_prompting=false and "
                "fine_prompting=off as well."
            )

    @property
    def size_multiple(self) -> int:
        """The network pads its input to a multiple of this: whole windows and whole anchors."""
        return lcm(self.window_size, self.anchor_stride)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Invert `to_dict`; missing keys take their defaults.

        Raises:
            ConfigError: a key that is no field, or a bad value.
        """
        return cls(**values)


# Table IV to VII start from N = 2.
_ABLATION = ModelConfig(blocks_per_group=2)

PRESETS: dict[str, ModelConfig] = {
    "promptsr": ModelConfig(),
    "promptsr-star": ModelConfig(blocks_per_group=4),
    "promptsr-tiny": ModelConfig(channels=32, blocks_per_group=2, window_size=8, heads=2, bicubic_skip=True),
    # Table IV, from the first row to the last
    "ablation-windows-only": replace(_ABLATION, anchor_prompting=False, coarse_prompting=False, fine_prompting="off"),
    "ablation-anchor": replace(_ABLATION, coarse_prompting=False, fine_prompting="off"),
    "ablation-anchor-coarse": replace(_ABLATION, fine_prompting="coarse"),
    "ablation-base": _ABLATION,
    # Table V
    "ablation-d2": replace(_ABLATION, anchor_stride=2),
    "ablation-d4": replace(_ABLATION, anchor_stride=4),
    # Table VI
    "ablation-alpha-0": replace(_ABLATION, prompt_update=0.0),
    "ablation-alpha-0.1": replace(_ABLATION, prompt_update=0.1),
    # Table VII
    "ablation-ws8": replace(_ABLATION, window_size=8),
}


def preset(name: str, /, **overrides: Any) -> ModelConfig:
    """Return the configuration called `name`, with fields replaced by `overrides`.

    Raises:
        ConfigError: no such preset, or a bad override.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}; known are {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **overrides)
