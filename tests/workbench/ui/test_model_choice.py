"""Lists of models on the page follow the list of models."""

import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, open_tab, send
from tests.zoo.conftest import write_promptsr
from workbench.page import build
from workbench.sessions import models
from workbench.ui import model_choice
from workbench.ui.model_choice import open_choices, renew_choices

BEST, FAST = "promptsr-x4", "promptsr-tiny-x4"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A photograph of a little more than 1024 x 1024 pixels."""
    path = tmp_path / "large.png"
    Image.new("RGB", (1025, 1024), "teal").save(path)
    return path


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

    x3 = {4: 3, BEST: "promptsr-x3"}  # an open page where everything is x3
    updates = offer(*(x3[each.value] for each in inputs))
    assert len(updates) == len(dropdowns) == len(before)
    for update, dropdown in zip(updates, dropdowns, strict=True):
        assert "mine" in [value for _, value in update.choices], dropdown.elem_id


def test_a_large_photograph_goes_to_the_faster_network_and_a_small_one_back(
    page: Page, large: Path, plain_photo: Path
) -> None:
    model, compared = (page.locator(f"#upscale-{name} input") for name in ("model", "compared"))
    expect(model).to_have_value(BEST, timeout=PATIENCE)
    choose(page, "upscale-compared", FAST)
    send(page, large)
    expect(model).to_have_value(FAST, timeout=PATIENCE)
    expect(compared).to_have_value("bicubic", timeout=PATIENCE)  # rather than with itself
    expect(page.get_by_text(f"1.0 megapixels: the model is {FAST} now")).to_be_visible()
    send(page, plain_photo)
    expect(model).to_have_value(BEST, timeout=PATIENCE)

    choose(page, "upscale-model", FAST)
    choose(page, "upscale-model", BEST)
    send(page, large)
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile(large.stem), timeout=PATIENCE)
    page.wait_for_timeout(2000)  # in which the page would have chosen
    expect(model).to_have_value(BEST)

    open_tab(page, "Many photographs")
    many = page.locator("#many-model input")
    expect(many).to_have_value(BEST, timeout=PATIENCE)
    page.locator("#many-image input[type=file]").set_input_files([plain_photo, large])
    expect(many).to_have_value(FAST, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("name", "lowered", "chosen", "size", "expected"),
    [
        (FAST, False, False, (40, 24), None),  # a choice of another day
        (BEST, True, False, (40, 24), None),  # a link's, after the page's
        ("own", True, False, (40, 24), None),
        ("own", False, False, (1025, 1024), None),
        (BEST, False, False, (1024, 1024), None),
        (BEST, False, False, (1025, 1024), (FAST, True)),
        (BEST, False, True, (1025, 1024), None),  # a person's
        (FAST, True, False, (1024, 1024), (BEST, False)),
        (FAST, True, True, (1024, 1024), None),
        (FAST, True, False, (1025, 1024), None),
    ],
)
def test_what_a_person_has_chosen_stays(
    name: str,
    lowered: bool,
    chosen: bool,
    size: tuple[int, int],
    expected: tuple[str, bool] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_choice, "sent_file", Path)
    Image.new("L", size).save(tmp_path / "photo.png")
    (tmp_path / "notes.png").write_text("No image at all.")
    sent = [str(tmp_path / each) for each in ("notes.png", "photo.png")]
    if expected is None:
        with pytest.raises(gr.Error):
            model_choice._suited(sent, name, lowered, chosen)
    else:
        assert model_choice._suited(sent, name, lowered, chosen) == expected
