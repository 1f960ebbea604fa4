"""Choices of models, which follow the list of models while the page is open."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.context import Context
from gradio.events import Dependency

from promptsr.imaging.decode import inspect
from promptsr.support.errors import UserError
from promptsr.zoo.default import BEST, FAST, default_model
from workbench.server.arguments import Flag, Text, Texts, Whole
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.uploads import sent_file
from workbench.ui.components import PRIVATE, choice, nothing, on_choice, toast

Offer = Callable[..., Sequence[str | tuple[str, str]]]
"""Returns the names of models, or labels and names."""


@dataclass(frozen=True)
class _Choice:
    """A dropdown, and the components whose values its `offer` takes."""

    dropdown: gr.Dropdown
    offer: Offer
    inputs: tuple[Any, ...]


_choices: WeakKeyDictionary[gr.Blocks, list[_Choice]] = WeakKeyDictionary()


def model_choice(offer: Offer, *inputs: Any, **options: Any) -> gr.Dropdown:
    """Return a dropdown of what `offer` returns for the values of `inputs`; options as for `components.choice`."""
    dropdown = choice(choices=offer(*(each.value for each in inputs)), **options)
    page = Context.root_block
    assert isinstance(page, gr.Blocks)
    _choices.setdefault(page, []).append(_Choice(dropdown, offer, inputs))
    return dropdown


def suit(photos: gr.Image | gr.Files, model: gr.Dropdown) -> Dependency:
    """Let a choice of models go from the best network to the faster one when a large photograph comes, and back with a
    smaller one, see `promptsr.zoo.default.default_model`; other models stay, and any that a person has chosen. Call it
    within a tab: the browser would count what it adds beside tabs as one of them.

    Returns:
        The event, which fails where nothing changes.
    """
    lowered, chosen = gr.State(False), gr.State(False)
    on_choice(model, toast(_by_hand), model, chosen, **PRIVATE)
    return photos.upload(toast(_suited), [photos, model, lowered, chosen], [model, lowered], **PRIVATE)


def _by_hand(name: Text) -> bool:
    return True


def _suited(sent: Text | Texts | None, name: Text, lowered: Flag, chosen: Flag) -> tuple[str, bool]:
    """Return the model for the largest of some photographs, and whether it is the faster one because of them.

    Args:
        sent: one photograph, or several.
        name: the model by now.
        lowered: whether it is the faster one because of other photographs.
        chosen: whether a person has chosen it.

    Raises:
        gr.Error: it stays as it is.
    """
    if chosen:
        raise nothing()
    largest = 0
    for file in [sent] if isinstance(sent, str) else sent or ():
        with suppress(UserError):  # which has been told
            about = inspect(sent_file(file))
            largest = max(largest, about.height * about.width)
    fitting = default_model(largest)
    if (name, fitting) == (BEST, FAST):
        gr.Info(f"{largest / 1e6:.1f} megapixels: the model is {FAST} now. {BEST} is better, and takes longer.")
        return FAST, True
    if lowered and (name, fitting) == (FAST, BEST):
        return BEST, False
    raise nothing()


def choices_now(dropdown: gr.Dropdown) -> Sequence[str | tuple[str, str]] | None:
    """Return what a choice of models of every kind offers by now; None for other dropdowns."""
    found = [each for page in _choices.values() for each in page if each.dropdown is dropdown and not each.inputs]
    return found[0].offer() if found else None


def renew_choices(page: gr.Blocks) -> None:
    """Let a page offer the models of now to everybody who opens it from now on."""
    for each in _choices[page]:
        offered = each.offer(*(component.value for component in each.inputs))
        each.dropdown.choices = [pair if isinstance(pair, tuple) else (pair, pair) for pair in offered]
    page.config = page.get_config_file()


def open_choices(page: gr.Blocks) -> tuple[Callable[..., list[Any]], list[Any], list[gr.Dropdown]]:
    """Return handler, inputs and outputs of an event that makes an open page offer the models of now."""
    choices = [*_choices[page]]

    def offer(*values: Any) -> list[Any]:
        rest, updates = list(values), []
        for each in choices:
            own, rest = rest[: len(each.inputs)], rest[len(each.inputs) :]
            updates.append(gr.Dropdown(choices=each.offer(*own)))
        return updates

    return offer, [component for each in choices for component in each.inputs], [each.dropdown for each in choices]


def scale_and_models(tab: str, scale: int, *, gradients: bool = False) -> tuple[gr.Radio, gr.Dropdown, Dependency]:
    """Add both to a tab.

    Args:
        tab: start of their ids.
        scale: chosen at first.
        gradients: offer only models that give gradients.

    Returns:
        The scale, the models, and the event of models being offered for another scale.
    """
    most = in_force().models_at_once
    chosen_scale = gr.Radio([("×2", 2), ("×3", 3), ("×4", 4)], value=scale, label="Scale", elem_id=f"{tab}-scale")
    chosen = model_choice(
        partial(models.of_scale, gradients=gradients),
        chosen_scale,
        value=models.pair(scale, gradients),
        multiselect=True,
        max_choices=most,
        label="Models",
        info=f"up to {most} of this scale" + (", with gradients" if gradients else ""),
        elem_id=f"{tab}-models",
    )

    def offer(scale: Whole) -> gr.Dropdown:
        return models_offered(scale, gradients)

    return chosen_scale, chosen, chosen_scale.input(toast(offer), chosen_scale, chosen, **PRIVATE)


def models_offered(scale: int, gradients: bool = False) -> gr.Dropdown:
    """Return the choice of models for another scale."""
    return gr.Dropdown(choices=models.of_scale(scale, gradients), value=models.pair(scale, gradients))
