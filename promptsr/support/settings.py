"""Settings: frozen dataclasses whose values pydantic checks by their annotations."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import field, fields
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from promptsr.support.errors import ConfigError

Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def settings(*, strict: bool = False) -> Callable[[type[Kind]], type[Kind]]:
    """Return a decorator that makes a class a frozen dataclass and raises ConfigError for impossible values.

    Args:
        strict: refuse values of another type, even if they can be converted, such as "4" for an integer.
    """

    def decorate(kind: type[Kind]) -> type[Kind]:
        config = ConfigDict(extra="forbid", strict=strict, allow_inf_nan=False)
        checked: Any = dataclass(frozen=True, config=config)(kind)
        initialise = checked.__init__

        def initialise_or_explain(self: Kind, /, *values: Any, **named: Any) -> None:
            try:
                initialise(self, *values, **named)
            except ValidationError as error:
                raise ConfigError(explain(error, [each.name for each in fields(checked)])) from error

        checked.__init__ = initialise_or_explain
        result: type[Kind] = checked
        return result

    return decorate


def explain(error: ValidationError, known: Sequence[str] = ()) -> str:
    """Return the first fault as a sentence: the setting, what it must be, and its value.

    Args:
        error: from pydantic.
        known: all settings in order: pydantic gives the place of one that has no keyword; listed if one is unknown.
    """
    first = error.errors(include_url=False)[0]
    at, *inside = first["loc"] or ("",)
    name = ".".join(map(str, (known[at] if isinstance(at, int) and at < len(known) else at, *inside)))
    match first["type"]:
        case "value_error":
            return ": ".join(filter(None, (name, str(first["ctx"]["error"]))))
        case "missing":
            return f"The setting {name} is missing."
        case "unexpected_keyword_argument":
            return f"There is no setting {name}{'; known are ' if known else ''}{', '.join(known)}."
    return f"{name} {first['msg'].replace('Input should', 'must', 1)}, not {reprlib.repr(first['input'])}."
