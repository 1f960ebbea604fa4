"""Lists of models on the page follow the list of models."""

from pathlib import Path

import gradio as gr
import pytest

from tests.zoo.conftest import write_promptsr
from workbench.page import build
from workbench.sessions import models
from workbench.ui.model_choice import open_choices, renew_choices


def lists(page: gr.Blocks) -> dict[str, list[str]]:
    """The names that every list of models of a page offers, by id or, for programs, by label."""
    offered = {
        str(each.elem_id or each.label): [str(value) for _, value in each.choices]
        for each in page.blocks.values()
        if isinstance(each, gr.Dropdown)
    }
    known = {models.BICUBIC, *models.known()}
    return {name: values for name, values in offered.items() if values and set(values) <= known}


def test_all_lists_offer_a_checkpoint_that_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_added", {})
    page = build()
    offer, inputs, dropdowns = open_choices(page)
    before = lists(page)
    write_promptsr(tmp_path / "mine.safetensors")  # x3
    models.add(tmp_path / "mine.safetensors")
    assert lists(page) == before
    renew_choices(page)
    of_x4 = {"compare-models", "lam-models", "upscale-compared", "failures-against"}  # what they show at first
    for name, values in lists(page).items():
        assert ("mine" in values) == (name not in of_x4), name
    config = {each["props"].get("elem_id"): each["props"].get("choices") for each in page.config["components"]}
    assert ("mine", "mine") in config["upscale-model"] and ("mine", "mine") not in config["compare-models"]

    x3 = {4: 3, "promptsr-tiny-x4": "promptsr-tiny-x3"}  # an open page where everything is x3
    updates = offer(*(x3[each.value] for each in inputs))
    assert len(updates) == len(dropdowns) == len(before)
    for update, dropdown in zip(updates, dropdowns, strict=True):
        assert "mine" in [value for _, value in update.choices], dropdown.elem_id
