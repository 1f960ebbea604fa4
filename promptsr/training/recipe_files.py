"""Recipes in YAML files, read strictly: an unknown key or a value of another type is an error.

    base: x4.yaml          # optional: another recipe, beside this one, of which only what follows differs
    model:                 # a preset of `promptsr.config`, and settings that replace its own
      preset: promptsr
      scale: 3
    data: [data/div2k]     # and any other field of `promptsr.training.recipe.Recipe`

Paths in it are relative to the folder in which the command is run.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from promptsr.config import preset
from promptsr.support.errors import ConfigError
from promptsr.training.recipe import Recipe

_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


class _Loader(yaml.SafeLoader):
    """Load YAML 1.2 where YAML 1.1 surprises: 1e-4 is a number, `off` a word. A key may stand only once.

    Aliases are refused: a few lines of them stand for more than memory holds.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias stands there, write its value out", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} stands there twice", node.start_mark)
        result: dict[Any, Any] = super().construct_mapping(node, deep)
        return result


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    start: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _parsed(text: str) -> Any:
    """Return the content of a document. Raises yaml.YAMLError for anything else."""
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # Of dates and !!tags that lie.
        raise yaml.YAMLError(str(error)) from error


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: of the file.
        overrides: settings that replace those of the file, such as `lr=1e-4`, `model.scale=2`, `data=[a/, b/]`.

    Raises:
        ConfigError: no such file, no YAML, a key that does not exist or stands twice, or a bad value.
    """
    settings = _read(path, ())
    for override in overrides:
        _replace(settings, override)
    if not isinstance(settings.get("model", {}), dict):
        raise ConfigError(f"{path}: model takes settings, such as preset: promptsr, not {settings['model']!r}.")
    model = dict(settings.get("model") or {})
    try:
        settings["model"] = preset(str(model.pop("preset", "promptsr")), **{str(k): v for k, v in model.items()})
    except ConfigError as error:
        raise ConfigError(f"{path}: model: {error}") from error
    for key in ("data", "init"):
        if isinstance(settings.get(key), str):
            settings[key] = [settings[key]]
    try:
        return TypeAdapter(Recipe).validate_python(settings)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error)}") from error


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The settings in a file, on top of those of its base."""
    try:
        settings = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"There is no recipe {path} ({error.strerror}): see configs/ for those there are.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds no settings: a recipe has lines such as steps: 1000.")
    base = settings.pop("base", None)
    if base is None:
        return settings
    below = path.parent / str(base)
    if below.resolve() in (above := (*above, path.resolve())):
        raise ConfigError(f"{path} is its own base: remove one of the base lines.")
    return _merged(_read(below, above), settings)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {
        k: _merged(base[k], v) for k, v in changes.items() if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return {**base, **changes, **nested}


def _replace(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Settings are given as key=value, not {override!r}.")
    *parents, name = key.split(".")
    for parent in parents:
        below = settings.get(parent)
        settings[parent] = dict(below) if isinstance(below, dict) else {}
        settings = settings[parent]
    try:
        settings[name] = _parsed(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{key} cannot be read from {text!r}: quote it as YAML does.") from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] in _UNKNOWN:
        return f"there is no setting {name}; known are {', '.join(Recipe.__dataclass_fields__)}."
    if first["type"] == "missing":
        return f"the setting {name} is missing."
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{name}: {first['msg']}, not {first['input']!r}."
