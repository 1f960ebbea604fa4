"""Recipes in YAML files, read strictly: an unknown key or an impossible value is an error.

    base: x4.yaml          # optional: another recipe, beside this one, of which only what follows differs
    model:                 # a preset of `promptsr.config`, and settings that replace its own
      preset: promptsr
      scale: 3
    data: [data/div2k]     # and any other field of `promptsr.training.recipe.Recipe`

Paths in it are relative to the folder in which the command is run.
"""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from promptsr.support.errors import ConfigError
from promptsr.support.yaml_settings import merge, override, parse_yaml
from promptsr.training.recipe import Recipe


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: of the file.
        overrides: settings that replace those of the file, see `promptsr.support.yaml_settings.override`.

    Raises:
        ConfigError: there is no such file, it is not YAML, a key does not exist or stands twice, or a value is bad.
    """
    settings = reduce(override, overrides, _read(path, ()))
    try:
        return Recipe(**settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return the settings in a file, on top of those of its base; `above` are the files that it is the base of."""
    try:
        settings = parse_yaml(path.read_bytes(), path)
    except OSError as error:
        raise ConfigError(f"There is no recipe {path} ({error.strerror}): see configs/ for those there are.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds no settings: a recipe has lines such as steps: 1000.")
    base = settings.pop("base", None)
    if base is None:
        return settings
    below = path.parent / str(base)
    if below.resolve() in (above := (*above, path.resolve())):
        raise ConfigError(f"{path} is its own base: remove one of the base lines.")
    return merge(_read(below, above), settings)
