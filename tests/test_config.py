"""Settings: refusals, round trips, and the sizes of the presets."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from math import lcm
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptsr.config import PRESETS, ModelConfig, preset
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError

COUNTS = ("channels", "groups", "blocks_per_group", "window_size", "category_size", "heads")
FIELDS = [field.name for field in fields(ModelConfig)]


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Any configuration that a network can have."""
    heads = draw(st.integers(1, 8))
    anchors = draw(st.booleans())
    return ModelConfig(
        scale=draw(st.sampled_from([1, 2, 3, 4, 8])),
        channels=heads * draw(st.integers(1, 16)),
        groups=draw(st.integers(1, 8)),
        blocks_per_group=draw(st.integers(1, 8)),
        anchor_stride=2 * draw(st.integers(1, 8)),
        prompt_update=draw(st.floats(0, 1)),
        prompt_projection=draw(st.sampled_from(["depthwise", "linear"])),
        window_size=draw(st.integers(1, 32)),
        category_size=draw(st.integers(1, 512)),
        heads=heads,
        mlp_ratio=draw(st.floats(1, 4)),
        anchor_prompting=anchors,
        coarse_prompting=anchors and draw(st.booleans()),
        fine_prompting=draw(st.sampled_from(["fine", "coarse", "off"])) if anchors else "off",
        bicubic_skip=draw(st.booleans()),
    )


@given(config=configs())
def test_dictionary_and_json_keep_every_setting(config: ModelConfig) -> None:
    values = config.to_dict()
    assert list(values) == FIELDS
    assert ModelConfig.from_dict(values) == config
    assert ModelConfig.from_dict(json.loads(json.dumps(values))) == config
    assert config.size_multiple == lcm(config.window_size, config.anchor_stride)


def test_defaults_are_the_papers() -> None:
    paper = {"channels": 48, "groups": 4, "blocks_per_group": 3, "anchor_stride": 8, "prompt_update": 0.01}
    paper |= {"window_size": 16, "category_size": 128, "heads": 4, "mlp_ratio": 1.0, "bicubic_skip": False}
    values = ModelConfig().to_dict()
    assert {name: values[name] for name in paper} == paper
    with pytest.raises(FrozenInstanceError):
        ModelConfig().scale = 2  # type: ignore[misc]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"chanels": 48}, r"There is no setting chanels; known are scale, channels, .*bicubic_skip"),
    # other types
    ({"scale": "4"}, "scale must be a valid integer, not '4'"),
    ({"scale": 4.0}, "scale must be a valid integer, not 4.0"),
    ({"channels": True}, "channels must be a valid integer, not True"),
    ({"channels": None}, "channels must be a valid integer, not None"),
    ({"prompt_update": "0.01"}, "prompt_update must be a valid number, not '0.01'"),
    ({"prompt_update": True}, "prompt_update must be a valid number"),
    ({"anchor_prompting": 1}, "anchor_prompting must be a valid boolean, not 1"),
    ({"bicubic_skip": "yes"}, "bicubic_skip must be a valid boolean"),
    ({"prompt_projection": "full"}, "prompt_projection must be 'depthwise' or 'linear', not 'full'"),
    ({"fine_prompting": True}, "fine_prompting must be 'fine', 'coarse' or 'off', not True"),
    # impossible values
    *[
        ({name: value}, f"{name} must be (greater|less) than or equal to [0-9]+, not {value}")
        for name in (*COUNTS, "anchor_stride")
        for value in (0, 10**9)
    ],
    ({"scale": 5}, "scale must be 1, 2, 3, 4 or 8, not 5"),
    ({"anchor_stride": 7}, "anchor_stride must be a multiple of 2, not 7"),
    ({"prompt_update": -0.01}, "prompt_update must be greater than or equal to 0, not -0.01"),
    ({"prompt_update": 1.01}, "prompt_update must be less than or equal to 1"),
    ({"prompt_update": float("nan")}, "prompt_update must be a finite number, not nan"),
    ({"mlp_ratio": 0.0}, "mlp_ratio must be greater than 0"),
    ({"mlp_ratio": 0.001}, "mlp_ratio must be at least 1 / channels"),
    ({"mlp_ratio": 1e9}, "mlp_ratio must be less than or equal to 16"),
    ({"heads": 5}, r"channels \(48\) must be a multiple of heads \(5\)"),
    ({"window_size": 63, "anchor_stride": 64}, "must have a common multiple of at most 512"),
    ({"anchor_prompting": False}, "Without anchor prompting"),
    ({"anchor_prompting": False, "coarse_prompting": False}, "Without anchor prompting"),
    ({"anchor_prompting": False, "fine_prompting": "off"}, "Without anchor prompting"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_bad_settings_are_refused_with_a_sentence(values: dict[str, Any], message: str) -> None:
    for build in (ModelConfig.from_dict, lambda v: preset("promptsr", **v), lambda v: replace(ModelConfig(), **v)):
        with pytest.raises(ConfigError, match=message) as caught:
            build(values)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_unknown_presets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"Unknown preset 'promptsr-big'; known are promptsr, promptsr-star"):
        preset("promptsr-big")


def test_a_setting_without_a_keyword_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^channels must be greater than or equal to 1, not 0"):
        ModelConfig(4, 0)


def test_overrides_change_nothing_else() -> None:
    assert preset("promptsr-tiny", scale=2) == replace(PRESETS["promptsr-tiny"], scale=2)
    assert PRESETS["promptsr-tiny"].scale == 4
    assert ModelConfig.from_dict({"scale": 2}) == preset("promptsr", scale=2)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_network(name: str) -> None:
    with torch.device("meta"):
        network = PromptSR(PRESETS[name])
        assert network(torch.empty(1, 3, 20, 17)).shape == (1, 3, 80, 68)
