"""Types of what programs may send to handlers; pydantic holds the arguments of a call against them."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, validate_call

from promptsr.support.errors import UserError

_BOUND = 2**31
_MOST = 1000
Whole = Annotated[int, Field(gt=-_BOUND, lt=_BOUND)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(max_length=_MOST)]
Texts = Annotated[list[Text], Field(max_length=_MOST)]


def validated(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Make a handler check its arguments against its signature.

    Raises (the returned handler):
        UserError: one of them is refused.
    """
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(handler)

    @wraps(handler)
    def call(*args: Any) -> Any:
        try:
            return checked(*args)
        except ValidationError as error:
            raise UserError(_sentence(error, handler)) from error

    return call


def _sentence(error: ValidationError, handler: Callable[..., Any]) -> str:
    """Return the fault of the first argument that was refused."""
    first = error.errors()[0]
    value, place = first["input"], first["loc"][0]
    name = list(inspect.signature(handler).parameters)[place] if isinstance(place, int) else place
    if value is None and first["type"] in ("dataclass_type", "is_instance_of"):  # what a session keeps
        return "There is nothing here yet: begin with the button of this tab."
    try:
        given = "nothing" if value is None else repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        given = "this"
    must = re.sub(r"^\w+ should|^Unable to parse input string as", f"{name} must", first["msg"]).partition(", ")[0]
    return f"{must}, not {given if len(given) <= 60 else f'{given[:57]}...'}."
