"""Settings in addresses: what is written is read again, and what cannot be is named."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import page
from workbench.sessions import visits
from workbench.tabs.links import Question, TabSettings
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.tab_header import TABS

DOCUMENT = Path(__file__).parents[3] / "docs" / "addresses.md"
TABS_WITH_SETTINGS = [name for name in TABS if name != "models"]


@pytest.fixture(scope="module")
def settings() -> dict[str, TabSettings]:
    """Settings of every tab, by its name."""
    found: list[TabSettings] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "connect", lambda page, tabs, settings: found.extend(settings))
        page.build()
    return {each.tab: each for each in found}


def texts(value: Any) -> list[str]:
    """A value as page.js writes it."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [json.dumps(each) if isinstance(each, bool) else str(each) for each in values] or [""]


def possible(component: Any) -> st.SearchStrategy[Any]:
    """Values of a component."""
    if isinstance(component, gr.Checkbox):
        return st.booleans()
    if isinstance(component, (gr.Radio, gr.Dropdown)):
        choices = st.sampled_from([value for _, value in component.choices])
        return st.lists(choices, max_size=3) if getattr(component, "multiselect", False) else choices
    if isinstance(component, (gr.Number, gr.Slider)):
        least, most = component.minimum or 0, 10**6 if component.maximum is None else component.maximum
        whole = component.precision == 0 if isinstance(component, gr.Number) else component.step == int(component.step)
        return st.integers(int(least), int(most)) if whole else st.floats(least, most)
    assert isinstance(component, gr.Textbox), type(component)
    return st.text(max_size=40)


@pytest.mark.parametrize("tab", TABS_WITH_SETTINGS)
@given(data=st.data())
def test_what_a_link_says_is_read(settings: dict[str, TabSettings], tab: str, data: st.DataObject) -> None:
    """For settings that do not depend on each other; those that do take what they offer beside the others."""
    own = settings[tab]
    sample = data.draw(st.sampled_from([path for side in SIDES for path in sample_paths(side)]))
    expected, query = {}, {}
    for key, component in own.keys.items():
        if key in own.offers:
            continue
        if isinstance(component, gr.Image):
            expected[key], query[key] = str(sample), [f"{sample.stem}-{sample.parent.name}"]
        elif not isinstance(component, gr.File):
            expected[key] = data.draw(possible(component), key)
            query[key] = texts(expected[key])
    values, faults = own.read(query)
    assert faults == []
    assert {key: values[key] for key in expected} == expected
    assert list(own.fill(values, values)) and set(values) == set(own.keys)


@pytest.mark.parametrize("tab", TABS_WITH_SETTINGS)
def test_what_a_link_leaves_out_is_as_at_first(settings: dict[str, TabSettings], tab: str) -> None:
    values, faults = settings[tab].read({})
    assert faults == []
    for key, component in settings[tab].keys.items():
        shown = component.value
        assert values[key] == (shown["path"] if isinstance(shown, dict) else shown), key


@given(
    tab=st.sampled_from(TABS_WITH_SETTINGS),
    query=st.dictionaries(
        st.sampled_from(["photo", "zip", "model", "x", "block", "scale", "way", "zoom", "jacobian", "strength", "?"]),
        st.lists(st.text(), min_size=1, max_size=3),
        max_size=5,
    ),
)
def test_whatever_a_link_says_is_read_or_named(
    settings: dict[str, TabSettings], tab: str, query: dict[str, list[str]]
) -> None:
    values, _ = settings[tab].read(query)
    assert set(values) == set(settings[tab].keys)
    for fault in settings[tab].read(query)[1]:
        assert fault.endswith(".") or len(fault) > 20


@pytest.mark.parametrize(
    ("tab", "query", "fault"),
    [
        ("upscale", {"model": ["promptsr-tiny-x3"], "against": ["promptsr-tiny-x4"]}, "Compare with: there is no"),
        (
            "lam",
            {"scale": ["3"], "model": ["bicubic-x4"]},
            "Models: there is no bicubic-x4 here, choose one of promptsr-x3",
        ),
        ("attention", {"group": ["9"]}, "The group of a link must be 1 to 4, not 9."),
        ("anchors", {"perplexity": ["nan"]}, "The perplexity of a link must be a number, not nan."),
        ("attention", {"jacobian": ["yes"]}, "The jacobian of a link must be true or false, not yes."),
        ("compare", {"way": ["steal"]}, "Mode: there is no steal here, choose one of shrink, enlarge, hr."),
        ("compare", {"colour": ["red"]}, "A link to Compare has no colour: its keys are photo, way, hr, model"),
        ("failures", {"window": ["9" * 5000]}, "must be a whole number"),
    ],
)
def test_faults_are_named(settings: dict[str, TabSettings], tab: str, query: Any, fault: str) -> None:
    values, [found] = settings[tab].read(query)
    assert fault in found and len(found) < 600
    assert set(values) == set(settings[tab].keys)


def test_the_document_has_every_key(settings: dict[str, TabSettings]) -> None:
    """Its rows are made of the settings: copy what this test expects."""

    def named(key: str, label: str) -> str:
        name = label.partition(" (")[0].partition(",")[0]
        return f"`{key}`" if name == key else f"`{key}` ({name})"

    expected = [
        f"| {TABS[tab].title} | `{tab}` | {', '.join(named(key, each.label) for key, each in own.keys.items())} |"
        for tab, own in settings.items()
    ]
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    assert rows == expected


def opening(query: str, how: str, open_tab: bool = True) -> str:
    return json.dumps({"visit": "0" * 32, "query": query, "how": how, "open": open_tab})


@pytest.mark.parametrize(
    ("tab", "query", "how", "starts"),
    [
        ("upscale", "tab=upscale&photo=china-192", "link", True),
        ("upscale", "tab=upscale&photo=china-192", "again", False),  # nothing has run yet
        ("upscale", "photo=china-192", "remembered", False),
        ("attention", "block=1", "remembered", True),  # it has no button
        ("upscale", "tab=upscale", "link", None),
        ("upscale", "", "remembered", None),
    ],
)
def test_links_start_the_work(
    settings: dict[str, TabSettings], tab: str, query: str, how: str, starts: bool | None
) -> None:
    if starts is None:
        with pytest.raises(gr.Error) as end:
            settings[tab].open(opening(query, how))
        assert not end.value.visible
        return
    *_, question = settings[tab].open(opening(query, how))
    assert isinstance(question, Question) == starts


@pytest.mark.parametrize("asking", ["", "{}", opening("", "steal"), opening("x" * 17000, "link"), "[" * 1000])
def test_only_the_page_opens_tabs(settings: dict[str, TabSettings], asking: str) -> None:
    with pytest.raises(gr.Error) as end:
        settings["upscale"].open(asking)
    assert not end.value.visible and not visits._pages.get("0" * 32)
