"""With results on it every tab fits a phone, and axe finds nothing serious or moderate, light or dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, fill, finished, open_tab
from workbench.ui.tab_header import TABS

READY = {
    "upscale": (False, ".closeup img"),
    "many": (False, "#many-list img"),
    "compare": (False, "#compare-slider img"),
    "lam": (True, "#lam-maps img"),
    "failures": (False, "#failures-details :is(.status, dl)"),
    "attention": (False, "#attention-maps img"),
    "anchors": (False, "#anchors-plot svg"),
    "architecture": (False, "#tour-views img"),
    "models": (False, "#models-table td"),
}
"""Whether a sample has to be chosen, and what is there when there is a result."""


SIDE_BY_SIDE = """gallery => {
  const [first, second] = [...document.querySelectorAll(`#${gallery} img`)].map(image => image.getBoundingClientRect());
  return first.height > 0 && first.height === second.height && first.top === second.top && first.left < second.left;
}"""


def findings(page: Page, place: str) -> list[str]:
    """All but minor ones on what is visible, light and dark."""
    found = []
    # Half-faded colours are those of no look.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    for look in ("dark", "light"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", look == "dark")
        report = Axe().run(page).response
        assert len(report["passes"]) > 10  # it has looked
        found += [
            f"{place}, {look}: {rule['id']}: {node['html'][:200]}"
            for rule in report["violations"]
            if rule["impact"] != "minor"
            for node in rule["nodes"]
        ]
    return found


@pytest.mark.timeout(900)  # nine tabs, every part seen twice: 103 s alone on a slow machine, over 300 among 3 workers
def test_every_tab_fits_a_phone_without_a_finding(page: Page) -> None:
    for tab, (empty, result) in READY.items():
        open_tab(page, TABS[tab].title)
        if tab == "lam":
            fill(page.locator("#lam-steps input"), "2")
        if empty:
            page.locator(f"#{tab}-image").locator("xpath=..").locator(".gallery-item").nth(4).click()
            finished(page, tab)
        expect(page.locator(result).first).to_be_visible(timeout=PATIENCE)
        expect(page.locator(f"#{tab}-status .running")).to_have_count(0, timeout=PATIENCE)
        page.set_viewport_size({"width": 390, "height": 900})
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        if gallery := {"lam": "lam-maps"}.get(tab):
            page.locator(result).first.scroll_into_view_if_needed()  # pictures far off are not loaded
            page.wait_for_function(SIDE_BY_SIDE, arg=gallery)
        page.set_viewport_size({"width": 1280, "height": 900})
        parts = page.locator(f"#tab-{tab} .subtabs").get_by_role("tab").all() or [page.locator(f"#tab-{tab}-button")]
        for part in parts:
            part.click()
            assert findings(page, f"{tab}, {part.inner_text()}") == []
    assert list(READY) == list(TABS)
