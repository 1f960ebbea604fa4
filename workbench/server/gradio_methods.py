"""Replace single methods of Gradio's objects, which it offers no other way to change."""

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr


def replace_method(owner: object, name: str, parameters: tuple[str, ...], method: Callable[..., Any]) -> None:
    """Replace a method of an object, if it is the one that we know.

    Args:
        owner: the object.
        name: of the method.
        parameters: names that Gradio's method has to have.
        method: takes its place, with the same parameters.

    Raises:
        RuntimeError: this version of Gradio has another method there, or none.
    """
    known = getattr(owner, name, None)
    if known is None or tuple(inspect.signature(known).parameters) != parameters:
        raise RuntimeError(
            f"Gradio {gr.__version__} has no {type(owner).__name__}.{name}({', '.join(parameters)}): install the "
            "version that the page was tested with, pip install -c constraints.txt gradio."
        )
    setattr(owner, name, method)
