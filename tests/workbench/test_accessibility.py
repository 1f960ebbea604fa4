"""axe finds nothing serious on any tab, light or dark, with results on it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, open_tab
from workbench.ui.tab_header import TABS

READY = {
    "upscale": (None, ".closeup img"),
    "compare": ("#compare-start", "#compare-crops img"),
    "lam": ("#lam-start", "#lam-maps img"),
    "failures": (None, "#failures-start"),
    "attention": (None, "#attention-maps img"),
    "anchors": (None, "#anchors-start"),
    "architecture": (None, "#tour-views img"),
}
"""What has to be pressed, and what is there when there is a result."""


def findings(page: Page, look: str) -> list[str]:
    """Serious ones on what is visible."""
    report = Axe().run(page).response
    assert len(report["passes"]) > 10  # it has looked
    return [
        f"{look}: {rule['id']}: {node['html'][:200]}"
        for rule in report["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_no_serious_finding(page: Page) -> None:
    for tab, (start, result) in READY.items():
        open_tab(page, TABS[tab].title)
        if start is not None:
            page.locator(f"#{tab}-image").locator("xpath=..").locator(".gallery-item").nth(4).click()
            page.locator(f"#{tab}-image img").wait_for()
            if tab == "lam":
                expect(page.locator("#lam-x input")).not_to_have_value("", timeout=PATIENCE)
                page.locator("#lam-steps input").fill("2")
                page.locator("#lam-steps input").press("Tab")
                page.wait_for_timeout(500)  # nobody types and clicks within the same instant, which the page may miss
            page.locator(start).click()
        expect(page.locator(result).first).to_be_visible(timeout=PATIENCE)
        expect(page.locator(f"#{tab}-status .running")).to_have_count(0, timeout=PATIENCE)
        for look in ("light", "dark"):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", look == "dark")
            page.wait_for_timeout(400)  # colours fade
            assert findings(page, f"{tab}, {look}") == []
    assert list(READY) == list(TABS)
