"""Settings as people write them: YAML documents, and KEY=VALUE on a command line."""

import re
from typing import Any

import yaml

from promptsr.support.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses double keys, and aliases, a few lines of which stand for more than memory holds."""

    def get_event(self) -> yaml.Event:
        event = super().get_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "an alias is not allowed, write its value out", event.start_mark
            )
        return event

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice in one mapping", node.start_mark)
        return {str(key): value for key, value in mapping.items()}


# As in YAML 1.2; YAML 1.1 takes 1e-4 for a word.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str | bytes, source: object) -> Any:
    """Return the content of a document.

    Raises:
        ConfigError: it is not YAML, or has an alias or a double key; the message names the source.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML lets errors of dates and of !!tags through.
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}.") from error


def override(settings: dict[str, Any], pair: str) -> dict[str, Any]:
    """Return settings with one of them replaced.

    Args:
        settings: plain values, possibly nested; not changed.
        pair: KEY=VALUE with a value in YAML, such as `lr=1e-4`, `model.scale=2` or `data=[a/, b/]`.

    Raises:
        ConfigError: there is no `=` or no key, or the value is not YAML.
    """
    key, equals, text = pair.partition("=")
    if not (key and equals):
        raise ConfigError(f"Settings are given as KEY=VALUE, not {pair!r}.")
    value = parse_yaml(text, pair)
    for name in reversed(key.split(".")):
        value = {name: value}
    return merge(settings, value)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` in it; dictionaries in both are merged, other values replaced."""
    nested = {
        key: merge(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **nested}
