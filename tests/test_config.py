"""Settings: what is refused and how, what survives a round trip, and what the presets amount to."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from math import lcm
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptsr.config import PRESETS, ModelConfig, preset, with_overrides
from promptsr.model.network import PromptSR, build_model
from promptsr.support.errors import ConfigError, UserError

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
    assert with_overrides(ModelConfig(), values) == config
    assert config.size_multiple == lcm(config.window_size, config.anchor_stride)


def test_missing_keys_take_their_defaults() -> None:
    assert ModelConfig.from_dict({}) == ModelConfig()
    assert ModelConfig.from_dict({"scale": 2}) == replace(ModelConfig(), scale=2)


def test_defaults_are_the_papers() -> None:
    paper = {"channels": 48, "groups": 4, "blocks_per_group": 3, "anchor_stride": 8, "prompt_update": 0.01}
    paper |= {"window_size": 16, "category_size": 128, "heads": 4, "mlp_ratio": 1.0, "bicubic_skip": False}
    values = ModelConfig().to_dict()
    assert {name: values[name] for name in paper} == paper
    with pytest.raises(FrozenInstanceError):
        ModelConfig().scale = 2  # type: ignore[misc]


BAD: list[tuple[dict[str, Any], str]] = [
    # an unknown key: the message lists the known ones
    ({"chanels": 48}, r"Unknown setting chanels; known are scale, channels, .*bicubic_skip"),
    ({"b": 1, "a": 2, "scale": 2}, "Unknown setting a, b;"),
    # wrong types
    ({"scale": "4"}, "scale must be of type int, not '4'"),
    ({"scale": 4.0}, "scale must be of type int, not 4.0"),
    ({"channels": True}, "channels must be of type int, not True"),
    ({"channels": None}, "channels must be of type int, not None"),
    ({"groups": [4]}, "groups must be of type int"),
    ({"prompt_update": "0.01"}, "prompt_update must be of type float"),
    ({"prompt_update": True}, "prompt_update must be of type float"),
    ({"anchor_prompting": 1}, "anchor_prompting must be of type bool, not 1"),
    ({"bicubic_skip": "yes"}, "bicubic_skip must be of type bool"),
    ({"prompt_projection": "full"}, "prompt_projection must be one of depthwise, linear, not 'full'"),
    ({"fine_prompting": False}, "fine_prompting must be one of fine, coarse, off, not False"),
    ({"fine_prompting": ["fine"]}, "fine_prompting must be one of"),
    # impossible values
    *[
        ({name: value}, f"{name} must lie between 1 and [0-9]+, not {value}")
        for name in (*COUNTS, "anchor_stride")
        for value in (0, -2, 10**9)
    ],
    ({"scale": 0}, "scale must be 1, 2, 3, 4 or 8, not 0"),
    ({"scale": 5}, "scale must be 1, 2, 3, 4 or 8, not 5"),
    ({"anchor_stride": 1}, "anchor_stride must be even, not 1"),
    ({"anchor_stride": 7}, "anchor_stride must be even, not 7"),
    ({"prompt_update": -0.01}, "prompt_update must lie between 0 and 1"),
    ({"prompt_update": 1.01}, "prompt_update must lie between 0 and 1"),
    ({"prompt_update": float("nan")}, "prompt_update must lie between 0 and 1"),
    ({"mlp_ratio": 0.0}, "mlp_ratio must lie"),
    ({"mlp_ratio": -1.0}, "mlp_ratio must lie"),
    ({"mlp_ratio": 0.001}, "mlp_ratio must lie"),
    ({"mlp_ratio": float("nan")}, "mlp_ratio must lie"),
    ({"mlp_ratio": 1e9}, "mlp_ratio must lie"),
    ({"mlp_ratio": float("inf")}, "mlp_ratio must lie"),
    ({"heads": 5}, r"channels \(48\) must be a multiple of heads \(5\)"),
    ({"anchor_prompting": False}, "Without anchor prompting"),
    ({"anchor_prompting": False, "coarse_prompting": False}, "Without anchor prompting"),
    ({"anchor_prompting": False, "fine_prompting": "off"}, "Without anchor prompting"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_bad_settings_are_refused_with_a_sentence(values: dict[str, Any], message: str) -> None:
    for build in (ModelConfig.from_dict, lambda v: preset("promptsr", **v), lambda v: build_model(**v)):
        with pytest.raises(ConfigError, match=message) as caught:
            build(values)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
        assert isinstance(caught.value, UserError)


def test_unknown_presets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"Unknown preset 'promptsr-big'; known are promptsr, promptsr-star"):
        preset("promptsr-big")


def test_overrides_change_nothing_else() -> None:
    assert preset("promptsr-tiny", scale=2) == replace(PRESETS["promptsr-tiny"], scale=2)
    assert PRESETS["promptsr-tiny"].scale == 4


# Parameters as the paper counts them: without those that hang on a module with children of its own, which are the
# position biases and the logit scales. The design notes list what the printed figures allow.
@pytest.mark.parametrize(
    ("name", "settings", "printed", "counted"),
    [
        ("promptsr", {"scale": 2}, 764, 764_220),
        ("promptsr", {"scale": 3}, None, 770_715),
        ("promptsr", {}, 779, 779_808),
        ("promptsr-star", {"scale": 2}, 982, 982_140),
        ("promptsr-star", {"scale": 3}, None, 988_635),
        ("promptsr-star", {}, 998, 997_728),
        ("ablation-base", {}, 562, 561_888),
        ("ablation-d4", {}, 540, 540_384),
        ("ablation-d2", {}, 534, 534_240),
        ("ablation-ws8", {}, 562, 561_888),
    ],
)
def test_presets_have_the_papers_parameters(
    name: str, settings: dict[str, Any], printed: int | None, counted: int
) -> None:
    with torch.device("meta"):
        network = PromptSR(preset(name, **settings))
    tables = ("position_bias", "logit_scale")
    found = sum(p.numel() for key, p in network.named_parameters() if not key.endswith(tables))
    assert found == counted
    assert printed is None or printed in (found // 1000, round(found / 1000))
    if (name, settings) == ("promptsr", {}):
        assert sum(p.numel() for p in network.parameters()) == 872_088


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_network(name: str) -> None:
    with torch.device("meta"):
        network = PromptSR(PRESETS[name])
        assert network(torch.empty(1, 3, 20, 17)).shape == (1, 3, 80, 68)
