"""Check arguments of handlers against their signatures: programs can send anything."""

import inspect
from collections.abc import Callable
from functools import partial, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from promptsr.support.errors import UserError

_BOUND = 2**31
_LETTERS, _ENTRIES = 1000, 1000
_PLAIN: dict[Any, tuple[Any, str]] = {
    bool: (Annotated[bool, Field(strict=True)], "true or false"),
    int: (Annotated[int, Field(gt=-_BOUND, lt=_BOUND)], "a whole number"),
    float: (Annotated[float, Field(allow_inf_nan=False)], "a number"),
    str: (Annotated[str, Field(max_length=_LETTERS)], f"text of up to {_LETTERS} characters"),
    NoneType: (None, "nothing"),
}
"""What JSON can carry: the type that values are held against, and what it is called."""

Check = Callable[..., list[Any]]


def checker(handler: Callable[..., Any]) -> Check:
    """A function that takes the arguments of a handler and returns them as its signature has them: numbers, text, truth
    values and lists of these are held against it, and what a session keeps must be there if the signature says so.

    Whole numbers have 32 bits, others are finite, text and lists are not endless, and nothing stands for a value only
    where the signature says so.

    Raises (the returned function):
        UserError: a value of another kind, with its name; or a session that keeps nothing yet.
    """
    function = handler.func if isinstance(handler, partial) else handler
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(handler).parameters.values()
    checks = [
        _check(parameter.name, hints.get(parameter.name))
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]

    def check(*values: Any) -> list[Any]:
        checked = [each(value) for each, value in zip(checks, values, strict=False)]
        return [*checked, *values[len(checked) :]]

    return check


def _check(name: str, hint: Any) -> Callable[[Any], Any]:
    """Return the check of one value."""
    bounded = _bounded(hint)
    if bounded is not None:
        adapter, kind = TypeAdapter(bounded[0]), bounded[1]

        def plain(value: Any) -> Any:
            try:
                return adapter.validate_python(value)
            except ValidationError as error:
                raise UserError(f"{name} must be {kind}, not {_short(value)}.") from error

        return plain

    def held(value: Any) -> Any:
        if value is None and _is_class(hint):
            raise UserError("There is nothing here yet: begin with the button of this tab.")
        return value

    return held


def _is_class(hint: Any) -> bool:
    """Whether a hint names a single kind of values, and so not nothing."""
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and kind not in (Any, UnionType)


def _bounded(hint: Any) -> tuple[Any, str] | None:
    """The type with its bounds, and what it is called; None where it is more than JSON can carry."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    parts = [_bounded(part) for part in get_args(hint)]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, (part for part, _ in known)), " or ".join(name for _, name in known)
    if get_origin(hint) is list:
        return Annotated[list[known[0][0]], Field(max_length=_ENTRIES)], f"a list, each of it {known[0][1]}"  # type: ignore[misc]
    return None


def _short(value: Any) -> str:
    """Shorten a value for a sentence."""
    if value is None:
        return "nothing"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = "this"
    return text if len(text) <= 60 else f"{text[:57]}..."
