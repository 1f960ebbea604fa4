"""An unknown key is refused with the known ones, all of which can be set."""

from dataclasses import fields
from pathlib import Path

import pytest

from promptsr.config import ModelConfig
from promptsr.support.errors import ConfigError
from promptsr.training.recipe import Crops, Recipe
from workbench.server.limits import Limits, read_limits


@pytest.mark.parametrize(
    ("kind", "needed"), [(ModelConfig, {}), (Recipe, {"data": "x"}), (Crops, {"patch": 1, "batch": 1})]
)
def test_known_settings_are_listed_and_no_others(kind: type, needed: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**needed, odd=1)
    known = str(caught.value).partition("known are ")[2].rstrip(".").split(", ")
    assert known == list(kind.__annotations__)


def test_known_limits_are_listed_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("odd = 1")
    with pytest.raises(ConfigError, match="odd") as caught:
        read_limits(tmp_path / "limits.toml", Limits())
    known = str(caught.value).partition("The limits are ")[2].removesuffix(", positive whole numbers.").split(", ")
    assert known == [field.name for field in fields(Limits)] and not any(name.startswith("_") for name in known)
