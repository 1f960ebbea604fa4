"""Addresses and the history: links open what they name, Back stays in the page, a reload finds the run again."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.workbench.conftest import (
    JOINS,
    PATIENCE,
    Server,
    choose,
    choose_small,
    click_at,
    fill,
    finished,
    numbers,
    open_advanced,
    open_tab,
    send,
)
from workbench.ui.tab_header import TABS


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """The processor may be shared."""
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=5000)


def another(page: Page, address: str) -> Page:
    """Another page of the same browser, which knows nothing of what this one has asked."""
    if page.url != "about:blank":
        page.evaluate("localStorage.clear()")
    other = page.context.new_page()
    other.set_viewport_size({"width": 1280, "height": 900})
    other.goto(address)
    return other


def follow(page: Page, query: str) -> None:
    """Go to an entry of the history, which the page opens as it opens a link, without being loaded again."""
    page.evaluate("query => { history.pushState(null, '', query); dispatchEvent(new Event('popstate')); }", f"?{query}")


def field(page: Page, name: str) -> Locator:
    """Return the input of a number or text, in the drawer too."""
    if name == "upscale-tile":
        open_advanced(page)
    return page.locator(f"#{name}").locator("input, textarea").first


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_a_place_goes_from_tab_to_tab_and_back(page: Page, server: Server) -> None:
    x, y = click_at(page.locator("#magnifier-result img"), 0.3, 0.6)
    expect(page.locator("#magnifier-x input")).to_have_value(
        re.compile(f"^({'|'.join(str(round(x) + d) for d in (-2, -1, 0, 1, 2))})$")
    )
    column, row = numbers(page, "magnifier", "x", "y")
    assert (column, row) == pytest.approx((x, y), abs=2)

    page.locator("#upscale-to-compare").click()
    names = ["bicubic-x4", "promptsr-x4"]
    expect(page.locator("#compare-status")).to_contain_text("768 × 512")
    finished(page, "compare")
    expect(page.locator("#compare-table tbody th")).to_have_text(names)
    assert numbers(page, "compare", "x", "y", "size") == (column - 32, row - 32, 64)
    expect.soft(page).to_have_url(re.compile("photo="))
    assert asked(page) == {  # what is as at first is left out
        "tab": ["compare"], "photo": ["chelsea-192"], "way": ["enlarge"], "x": [str(column - 32)], "y": [str(row - 32)],
    }  # fmt: skip
    link = page.url

    page.locator("#compare-to-attention").click()
    facts = page.locator("#attention-facts")
    expect(facts).to_contain_text(f"{column // 8}, {row // 8}")  # half of the 192 pixels, enlarged x4
    page.locator("#attention-to-architecture").click()
    expect(page.locator("#tour-x input")).to_have_value(str(column // 8 * 2 + 1))
    expect(page.locator("#tour-views img").first).to_be_visible()

    page.go_back()
    expect(facts).to_be_visible()
    page.go_back()
    expect(page.locator("#compare-table")).to_be_visible()
    assert page.url == link
    page.go_back()
    expect(page.locator("#upscale-slider")).to_be_visible()
    page.go_forward()
    expect(page.locator("#compare-table")).to_be_visible()
    assert page.url == link

    page = another(page, link)  # of somebody else
    expect(page.locator("#compare-table tbody th")).to_have_text(names)
    finished(page, "compare")
    assert numbers(page, "compare", "x", "y", "size") == (column - 32, row - 32, 64)
    assert page.url == link


def test_tabs_are_entries_of_the_history_each_once(page: Page) -> None:
    length = page.evaluate("history.length")
    for tab, about in reversed(TABS.items()):
        open_tab(page, about.title)
        intro = page.locator(".intro:visible")
        expect(intro).to_contain_text(about.sentence)
        assert intro.locator("svg").evaluate("picture => picture.getBBox().width") > 40
        assert urlsplit(page.url).query == f"tab={tab}"
    open_tab(page, next(iter(TABS.values())).title)  # which is open
    assert page.evaluate("history.length") == length + len(TABS)
    for tab in [*TABS][1:]:
        page.go_back()
        expect(page.locator(f"#tab-{tab}")).to_be_visible()
        assert urlsplit(page.url).query == f"tab={tab}"
    page.go_back()
    expect(page.locator("#upscale-slider")).to_be_visible()
    assert page.evaluate("history.length") == length + len(TABS)


def test_a_tab_that_is_clicked_while_the_page_opens_stays_open(blank: Page, server: Server) -> None:
    """The server, when it is slow, says only later where the page opens."""
    blank.add_init_script(JOINS + "window.late = 'all';")
    blank.goto(server.url)
    blank.wait_for_function("window.asked > 0")
    open_tab(blank, "Failures")
    blank.wait_for_function("window.asked === window.joined")
    blank.wait_for_timeout(1000)
    expect(blank.locator("#tab-failures")).to_be_visible()
    assert urlsplit(blank.url).query == "tab=failures"


def test_back_shows_the_result_of_then(page: Page) -> None:
    """Though the tab shows another one by now; it is found again, and not made again."""
    images = page.locator("#tab-upscale .gallery-item")
    images.nth(4).click()
    first = finished(page, "upscale").get_attribute("data-run")
    expect(page).to_have_url(re.compile("photo=china-192"))
    open_tab(page, "Anchors")
    open_tab(page, "Upscale")
    images.nth(2).click()
    expect(page).to_have_url(re.compile("photo=coffee-192"))
    for _ in range(2):
        page.go_back()
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("china"))
    expect(page.locator(f"#upscale-status [data-run='{first}']")).to_be_visible()
    expect(page).to_have_url(re.compile("photo=china-192"))


def test_a_photograph_of_ones_own_has_a_link(page: Page, server: Server, garden: Path) -> None:
    """Only those who have it can open the photograph, as long as the server has it."""
    send(page, garden)
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("garden"))
    choose(page, "upscale-model", "own-tiny")
    fill(field(page, "upscale-tile"), "32")
    page.locator("#upscale-start").click()
    expect(finished(page, "upscale")).to_contain_text("488 × 348")
    expect(page).to_have_url(re.compile("photo="))
    [photo] = asked(page)["photo"]
    folder, name = photo.split("/")
    assert name == "garden.png" and re.fullmatch("[0-9a-f]{64}", folder)
    link = page.url
    page = another(page, link)
    expect(finished(page, "upscale")).to_contain_text("488 × 348")
    expect(field(page, "upscale-model")).to_have_value("own-tiny")
    assert page.url == link

    query = urlsplit(link).query.replace(folder, "0" * 64)
    page = another(page, f"{server.url}?{query}")
    expect(page.locator(".toast-body")).to_contain_text("The photograph garden.png is no longer on this server")
    expect(field(page, "upscale-model")).to_have_value("own-tiny")  # the rest is as the link says
    expect(field(page, "upscale-tile")).to_have_value("32")
    expect(page.locator("#upscale-status .running")).to_have_count(0)


BAD_LINKS = [
    ("tab=nowhere", "upscale", "There is no tab nowhere: a link names one of upscale"),
    ("tab=lam&sample=nothing", "lam", "There is no sample nothing: a link names one of astronaut"),
    ("tab=lam&photo=china-256&colour=red", "lam", "A link to Attribution has no colour: its keys are photo, way"),
    ("tab=compare&photo=china-384&model=bicubic-x4&model=gone-x4", "compare", "Models: there is no gone-x4 here"),
    ("tab=upscale&photo=china-192&zoom=99", "upscale", "The zoom of a link must be 1 to 24, not 99"),
    ("tab=attention&photo=china-384&block=-1", "attention", "The block of a link must be a whole number, not -1"),
    ("tab=architecture&photo=%2Fetc%2Fpasswd", "architecture", "The photograph passwd is no longer on this server"),
    ("tab=failures&window=1e9999&photo=%3Cimg+src=x%3E", "failures", "The window of a link must be a whole number"),
]


def test_bad_links_say_what_they_lack_and_open_what_they_can(blank: Page, server: Server) -> None:
    page = blank
    for query, tab, message in BAD_LINKS:
        if page is blank:
            page = another(blank, f"{server.url}?{query}")
        else:
            follow(page, query)
        expect(page.locator(".toast-body", has_text=message)).to_be_visible()
        expect(page.locator(f"#tab-{tab}")).to_be_visible()
        if "china" in query:
            expect(page.locator(f"#{tab}-image img")).to_have_attribute("src", re.compile("china"))
        expect(page.locator(".status.running")).to_have_count(0)
        assert "Traceback" not in page.content() and "cannot be understood" not in page.content()


def test_links_of_earlier_versions_work(blank: Page, server: Server) -> None:
    place = {
        "sample": "china",
        "side": "192",
        "way": "enlarge",
        "model": ["bicubic-x4", "own-tiny"],
        "x": "400",
        "y": "200",
    }
    expected = {
        "attention": (50, 25),
        "architecture": (100, 50),
        "upscale": (400, 200),
        "compare": (368, 168),
        "lam": (392, 192),
    }
    page = blank
    for tab, (x, y) in expected.items():
        query = urlencode({"tab": tab, **place}, doseq=True)
        if page is blank:
            page = another(blank, f"{server.url}?{query}")
        else:
            follow(page, query)
        expect(page).to_have_url(re.compile(f"tab={tab}&photo=china-192.*model=own-tiny.*&x={x}&y={y}"))
    page.locator("#lam-cancel").click()  # or it would keep the tests that follow waiting


@pytest.mark.parametrize("stop", [False, True])
def test_a_reload_finds_the_run_that_goes_on(blank: Page, server: Server, garden: Path, stop: bool) -> None:
    page = another(blank, server.url)  # Gradio complains when a page is left
    page.locator(".closeup img").nth(2).wait_for(state="attached")
    place = 400  # below the result of the garden
    fill(page.locator("#magnifier-y input"), str(place))
    expect(page.locator("#magnifier-y input")).to_have_value(str(place))
    send(page, garden)
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("garden"))
    choose(page, "upscale-model", "own-tiny")
    fill(field(page, "upscale-tile"), "8" if stop else "16")
    page.locator("#upscale-start").click()
    status = page.locator("#upscale-status .status")
    expect(status).to_contain_text(re.compile(r"[1-9]\d* of \d+ tiles"))
    run = status.get_attribute("data-run")
    page.reload()
    expect(page.locator(f"#upscale-status .{'running' if stop else 'status'}[data-run='{run}']")).to_be_visible()
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("garden"))
    if stop:
        page.locator("#upscale-cancel").click()
        expect(page.locator("#upscale-status")).to_have_text("Stopped.")
        return
    expect(page.locator(f"#upscale-status .done[data-run='{run}']")).to_contain_text("488 × 348")
    finished(page, "upscale")
    expect(page.locator(".closeup img").nth(2)).to_be_visible()
    expect(page.locator("#magnifier-y input")).not_to_have_value(str(place))  # of the sample, and outside
    expect(page.locator(".toast-body")).to_have_count(0)
    page.reload()
    expect(page.locator(f"#upscale-status .done[data-run='{run}']")).to_be_visible()
    finished(page, "upscale")


def test_the_opening_result_does_not_come_between_a_reload_and_its_run(blank: Page, server: Server, park: Path) -> None:
    page = another(blank, f"{server.url}?tab=compare")
    rows = page.locator("#compare-table tbody tr")
    expect(rows).to_have_count(2)  # of what the tab opens with
    send(page, park, "compare")
    expect(page.locator("#compare-image img")).to_have_attribute("src", re.compile("park"))
    choose_small(page, "compare")
    page.locator("#compare-way").get_by_text("without scores").click()
    fill(page.locator("#compare-tile").locator("input, textarea").first, "16")
    page.locator("#compare-start").click()
    status = page.locator("#compare-status .running")
    expect(status).to_contain_text(re.compile(r"[1-9]\d* of \d+ tiles"))
    run = status.get_attribute("data-run")
    page.reload()
    expect(page.locator(f"#compare-status .running[data-run='{run}']")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(rows).to_have_count(0)
    page.locator("#compare-cancel").click()
    expect(page.locator("#compare-status")).to_have_text("Stopped.")


def test_settings_are_remembered_and_models_that_are_gone_are_not(page: Page, server: Server) -> None:
    choose(page, "upscale-model", "own-tiny")
    fill(field(page, "upscale-tile"), "24")
    open_tab(page, "Attribution")
    fill(page.locator("#lam-steps input"), "7")
    page.evaluate("localStorage['promptsr-settings-compare'] = 'model=bicubic-x4&model=gone-x4&tile=whole'")
    page = page.context.new_page()
    page.goto(server.url)
    expect(field(page, "upscale-tile")).to_have_value("24")
    expect(field(page, "upscale-model")).to_have_value("own-tiny")
    expect(page.locator("#tab-upscale")).to_have_attribute("data-old", "")  # the result is of what is there at first
    expect(page.locator("#upscale-bar p")).to_be_visible()
    open_tab(page, "Attribution")
    expect(page.locator("#lam-steps input")).to_have_value("7")
    open_tab(page, "Compare")
    expect(field(page, "compare-tile")).to_have_value("whole")
    expect(page.locator("#compare-models")).to_contain_text("promptsr-x4")
    expect(page.locator(".toast-body")).to_have_count(0)


@pytest.mark.parametrize("how", ["clipboard", "selection", "keys"])
def test_a_link_is_copied(page: Page, server: Server, how: str) -> None:
    """On plain HTTP browsers have no clipboard for pages: the text is selected, for a command or for the keys."""
    if how == "clipboard":
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    if how == "keys":
        page.evaluate("document.execCommand = () => false")
    button = page.locator("#upscale-bar .copy-link")
    button.click()
    expect(button).to_have_text("Press Ctrl+C" if how == "keys" else "Copied")
    link = f"{server.url}/?tab=upscale&photo=chelsea-192"
    if how == "clipboard":
        assert page.evaluate("navigator.clipboard.readText()").startswith(link)
    if how == "keys":
        assert page.evaluate("getSelection().toString() || document.activeElement.value").startswith(link)
    else:
        expect(page.locator(".link-field")).to_have_count(0)
    expect(button).to_have_text("Copy link")


def test_keys_start_and_reach_everything(page: Page) -> None:
    page.locator("#magnifier-x input").fill("200")
    before = page.locator(".closeup img").nth(2).get_attribute("src") or ""
    page.keyboard.press("Enter")
    expect(page.locator(".closeup img").nth(2)).not_to_have_attribute("src", before)
    shown = page.locator("#upscale-slider img").first.get_attribute("src") or ""
    page.keyboard.press("Control+Enter")
    expect(page.locator("#upscale-slider img").first).not_to_have_attribute("src", shown)
    page.get_by_role("tab", name="Upscale").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#many-start")).to_be_visible()
    assert page.url.endswith("?tab=many")


def test_the_look_and_the_tab_are_kept(page: Page) -> None:
    look = "[document.body.classList.contains('dark'), getComputedStyle(document.body).backgroundColor]"
    light = page.evaluate(look)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(look)
    assert dark[0] and not light[0] and dark[1] != light[1]
    open_tab(page, "Anchors")
    address, page = page.url, page.context.new_page()
    page.goto(address)
    expect(page.get_by_role("tab", name="Anchors")).to_have_attribute("aria-selected", "true")
    assert page.evaluate(look) == dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(look) == light
