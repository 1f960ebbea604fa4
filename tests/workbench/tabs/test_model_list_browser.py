"""The tab *Models* in a browser: checkpoints are dropped, names typed, and every choice of models follows."""

import base64
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, Server, open_tab
from tests.zoo.conftest import write_promptsr

_DROP = """([name, content, target]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(content), each => each.charCodeAt(0))], name));
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    const event = new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
    document.querySelector(target).dispatchEvent(event);
  }
}"""


def drop(page: Page, path: Path, target: str) -> None:
    page.evaluate(_DROP, [path.name, base64.b64encode(path.read_bytes()).decode(), target])


def test_a_checkpoint_is_dropped_anywhere_and_is_a_choice_everywhere(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "dropped <b>.safetensors"
    write_promptsr(path)
    drop(page, path, "#upscale-image")
    row = page.locator("#models-table tr", has_text="dropped")
    expect(row).to_have_count(1, timeout=PATIENCE)
    expect(row).to_contain_text("PromptSR, added")
    name = row.locator("input").get_attribute("data-model") or ""
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text(f"In all lists of models now: {name}.")
    page.locator(".toast-close").click()

    for tab, dropdown in (
        ("Upscale", "upscale-model"),
        ("Failures", "failures-model"),
        ("Attention", "attention-model"),
    ):
        open_tab(page, tab)
        page.locator(f"#{dropdown} input").click()
        expect(page.locator(f"#{dropdown}").get_by_role("option", name=name, exact=True)).to_be_visible()
        page.keyboard.press("Escape")
    open_tab(page, "Compare")
    page.locator("#compare-scale").get_by_text("×3").click()
    page.locator("#compare-models input").click()
    expect(page.locator("#compare-models").get_by_role("option", name=name, exact=True)).to_be_visible()
    page.keyboard.press("Escape")

    path.write_bytes(path.read_bytes()[:700])
    drop(page, path, "body")
    expect(toast).to_contain_text("is truncated or not a safetensors file", timeout=PATIENCE)
    expect(page.locator("#models-file .file-preview")).to_have_count(0)  # ready for the next
    expect(row).to_have_count(1)


def test_choices_are_in_groups_with_what_matters(page: Page) -> None:
    options = page.locator("#upscale-model [role=option]")
    page.locator("#upscale-model input").click()
    tiny = page.locator("#upscale-model").get_by_role("option", name="promptsr-tiny-x2", exact=True)
    expect(tiny).to_have_attribute("data-about", "×2 · 262 K · 37.39 dB on Set5", timeout=PATIENCE)
    scales = [(option.get_attribute("data-about") or "")[:2] for option in options.all()]
    assert scales == sorted(scales) and {"×2", "×3", "×4"} <= set(scales)
    expect(page.locator("#upscale-model .next-scale")).to_have_count(len(set(scales)) - 1)


def test_a_name_in_figures_lasts_for_the_visit(page: Page, server: Server) -> None:
    open_tab(page, "Models")
    field = page.locator('#models-table input[data-model="own-tiny"]')
    expect(field).to_have_value("own-tiny", timeout=PATIENCE)
    field.fill("<i>ours</i>")
    field.press("Enter")
    expect(page.locator(".toast-body")).to_contain_text("A name in figures has up to 40 characters")
    expect(field).to_have_value("own-tiny")
    page.locator(".toast-close").click()
    field.fill("PromptSR (ours)")
    field.press("Tab")
    expect(page.locator("#models-table input:focus")).to_have_count(1)  # the next, as people expect
    expect(field).not_to_have_attribute("data-asked", "")
    page.reload()
    expect(field).to_have_value("PromptSR (ours)", timeout=PATIENCE)
    field.fill("")
    field.press("Enter")
    expect(field).to_have_value("own-tiny")


def test_ignored_files_and_weights_to_fetch_are_listed(page: Page) -> None:
    open_tab(page, "Models")
    open_tab(page, "Ignored files")
    ignored = page.locator("#models-ignored tbody tr")
    expect(ignored).to_have_count(1, timeout=PATIENCE)
    expect(ignored).to_have_text(
        "broken.safetensors is truncated or not a safetensors file: download it again, or train anew"
    )
    open_tab(page, "Get more")
    row = page.locator("#models-more tr", has_text="IMDN x4")
    expect(row).to_contain_text('promptsr fetch imdn-x4 --to "$PROMPTSR_MODELS"')
    row.get_by_role("button", name="Copy").click()
    expect(row.get_by_role("button")).not_to_have_text("Copy")
