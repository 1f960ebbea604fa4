"""Entries are measured once, kept, and measured again only if what they depend on has changed."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.paper.entry import Claim, Entry, Measurement, Verdict, rule
from analysis.paper.materials import Materials, prepare
from analysis.paper.study import KEPT, Step, measure_paper
from promptsr.support.errors import UserError
from promptsr.support.progress import finish


def entry(key: str, calls: list[str], *, fails: bool = False, uses: tuple[str, ...] = ()) -> Entry:
    """Return an entry that notes its key in `calls` when it is measured."""

    def measure(_materials: Materials) -> Generator[str, None, Measurement]:
        calls.append(key)
        yield "halfway"
        if fails:
            raise UserError("Give other photographs.")
        figure = Figure((1, 1))
        return Measurement({"value": 2.5, "none": float("nan")}, {"Numbers": [{"a": "1"}]}, {"A square": figure})

    claim = Claim("It is above 2.", lambda numbers: rule(numbers["value"] > 2, f"It is {numbers['value']}."))
    return Entry(key, key.title(), "A number.", (claim,), lambda _: f"measure {key}", measure, uses)


@pytest.fixture
def own(materials: Materials, tmp_path: Path) -> Materials:
    return replace(materials, out=tmp_path, categories=materials.crops)


def test_a_second_run_measures_nothing(own: Materials) -> None:
    calls: list[str] = []
    entries = [entry("first", calls), entry("second", calls)]
    steps: list[Step] = []
    before = finish(measure_paper(entries, own), steps.append)
    assert calls == ["first", "second"]
    assert [(step.title, step.done, step.total, step.note) for step in steps] == [
        ("First", 0, 2, ""), ("First", 0, 2, "halfway"), ("Second", 1, 2, ""), ("Second", 1, 2, "halfway"),
    ]  # fmt: skip
    after = finish(measure_paper(entries, own))
    assert calls == ["first", "second"] and [each.to_dict() for each in after] == [each.to_dict() for each in before]
    assert after[0].numbers == {"value": 2.5, "none": None} and after[0].tables == {"Numbers": [{"a": "1"}]}
    assert after[0].pictures["A square"].read_bytes()[1:4] == b"PNG"
    assert after[0].rulings[0].verdict == Verdict.REPRODUCED


def test_a_stopped_run_goes_on(own: Materials) -> None:
    calls: list[str] = []
    entries = [entry("first", calls), entry("second", calls)]
    work = measure_paper(entries, own)
    for _ in range(4):  # until the second is at work
        next(work)
    work.close()
    assert calls == ["first", "second"] and not (own.out / KEPT / "second.json").exists()
    finish(measure_paper(entries, own))
    assert calls == ["first", "second", "second"]


def test_one_that_fails_never_costs_the_others(own: Materials) -> None:
    calls: list[str] = []
    outcomes = finish(measure_paper([entry("bad", calls, fails=True), entry("good", calls)], own))
    assert [(each.error, len(each.rulings)) for each in outcomes] == [("Give other photographs.", 0), ("", 1)]
    finish(measure_paper([entry("bad", calls, fails=True), entry("good", calls)], own))
    assert calls == ["bad", "good", "bad"]  # what failed is tried again


def test_only_what_depends_on_a_change_is_measured_again(own: Materials, tmp_path: Path) -> None:
    calls: list[str] = []
    entries = [entry("model", calls, uses=("model",)), entry("opponents", calls, uses=("against",))]
    finish(measure_paper(entries, own))
    other = replace(own, against=(own.control,))
    finish(measure_paper(entries, other))
    assert calls == ["model", "opponents", "opponents"]


@pytest.mark.parametrize("damage", ["cut", "picture"])
def test_a_damaged_measurement_is_made_again(own: Materials, damage: str) -> None:
    calls: list[str] = []
    finish(measure_paper([entry("one", calls)], own))
    if damage == "cut":
        (own.out / KEPT / "one.json").write_text('{"plan"')
    else:
        (own.out / KEPT / "one-1.png").unlink()
    finish(measure_paper([entry("one", calls)], own))
    assert calls == ["one", "one"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "bicubic-x4"}, "is not a PromptSR"),
        ({"model": "promptsr-tiny-x2", "against": ["bicubic-x2"]}, "enlarges x2"),
        ({"photographs": Path("nowhere")}, "nowhere is not a folder"),
        ({"bench": Path("nowhere")}, "nowhere is not a folder"),
    ],
)
def test_impossible_materials_are_refused(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, quick=True, **settings)  # type: ignore[arg-type]


def test_another_promptsr_is_no_network_of_others(
    small_x4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTSR_MODELS", raising=False)  # the bundled networks are there
    assert prepare(tmp_path, model=str(small_x4), quick=True).names == (str(small_x4), "bicubic-x4")
