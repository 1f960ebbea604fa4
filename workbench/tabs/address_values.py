"""Texts of addresses as values of the page's components."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.support.errors import UserError
from workbench.sessions import models
from workbench.sessions.uploads import sent_before
from workbench.ui.model_choice import choices_now
from workbench.ui.samples import SIDES, sample_paths

FILES = (gr.Image, gr.File)


def value_of(key: str, component: Any, offered: Mapping[str, Any], texts: Sequence[str]) -> Any:
    """Return what the texts of a key stand for.

    Raises:
        UserError: they stand for nothing that the component takes.
    """
    text = texts[-1]
    if isinstance(component, gr.File) and component.file_count == "multiple":
        return [str(_photograph(each)) for each in texts if each] or None
    if isinstance(component, FILES):
        return str(_photograph(text)) if text else None
    if isinstance(component, gr.Checkbox):
        if text not in ("true", "false"):
            raise UserError(f"The {key} of a link must be true or false, not {text}.")
        return text == "true"
    if isinstance(component, (gr.Radio, gr.Dropdown)):
        chosen = [each for each in texts if each]
        choices = {str(choice): choice for choice in _choices(component, offered)}
        if not choices.keys() >= set(chosen):
            models.complete()  # the page has just been started
            choices = {str(choice): choice for choice in _choices(component, offered)}
        for each in chosen:
            if each not in choices:
                raise UserError(f"{component.label}: there is no {each} here, choose one of {', '.join(choices)}.")
        found = [choices[each] for each in chosen]
        return found if getattr(component, "multiselect", False) else (found or [None])[-1]
    if isinstance(component, (gr.Number, gr.Slider)):
        return _in_range(key, number_of(key, text, _is_whole(component)), component, offered) if text else None
    return text[:1000]


def first_value(component: Any, offered: Mapping[str, Any]) -> Any:
    """Return the value at first, or the one that is offered where that is impossible."""
    value = component.value["path"] if isinstance(component.value, dict) else component.value
    choices = _choices(component, offered)
    if "choices" in offered and not all(each in choices for each in (value if isinstance(value, list) else [value])):
        return offered.get("value")
    if "maximum" in offered and value is not None and value > offered["maximum"]:
        return offered.get("value")
    return value


def _choices(component: Any, offered: Mapping[str, Any]) -> list[Any]:
    pairs = offered.get("choices") or choices_now(component) or getattr(component, "choices", None) or []
    return [pair[1] if isinstance(pair, tuple) else pair for pair in pairs]


def _is_whole(component: Any) -> bool:
    return component.precision == 0 if isinstance(component, gr.Number) else component.step == int(component.step)


def _in_range(key: str, number: float, component: Any, offered: Mapping[str, Any]) -> float:
    least, most = (offered.get(end, getattr(component, end, None)) for end in ("minimum", "maximum"))
    if (least is not None and number < least) or (most is not None and number > most):
        limits = f"{least} to {most}" if most is not None else f"{least} or more"
        raise UserError(f"The {key} of a link must be {limits}, not {number}.")
    return number


def number_of(key: str, text: str, whole: bool = True) -> float:
    """Return the number of a key.

    Raises:
        UserError: the text is not a number, or not a whole one.
    """
    if whole:
        if not text.isdecimal() or len(text) > 9:
            raise UserError(f"The {key} of a link must be a whole number, not {text[:30]}.")
        return int(text)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"The {key} of a link must be a number, not {text[:30]}.")
    return number


def _photograph(text: str) -> Path:
    """Return the file of a photograph: `china-256`, or one that was sent."""
    name, _, side = text.rpartition("-")
    return sample_named(name, int(side)) if side in map(str, SIDES) and "/" not in text else sent_before(text)


def sample_named(name: str, side: int) -> Path:
    """Return the file of a sample.

    Raises:
        UserError: there is no such sample.
    """
    found = {path.stem: path for path in sample_paths(side)}
    if name not in found:
        raise UserError(f"There is no sample {name}: a link names one of {', '.join(found)}.")
    return found[name]
