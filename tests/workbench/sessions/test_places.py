"""Places that tabs hand on, and the links that name them."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.datastructures import QueryParams

from analysis.common.image_windows import Region
from promptsr.support.errors import UserError
from workbench.sessions import models
from workbench.sessions.places import SIDE, Place
from workbench.tabs import attention as attention_tab
from workbench.tabs import attribution as attribution_tab
from workbench.tabs import compare as compare_tab
from workbench.tabs import links
from workbench.tabs import upscale as upscale_tab
from workbench.ui.samples import SIDES, sample_paths


def write(path: Path, width: int, height: int) -> str:
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("way", "x", "y", "region", "pixel"),
    [
        ("enlarge", 100, 90, Region(68, 56, 64), (25, 22)),
        ("enlarge", 0, 10_000, Region(0, 4 * 30 - 64, 64), (8, 22)),
        ("enlarge", None, None, Region((4 * 41 - 64) // 2, (4 * 30 - 64) // 2, 64), (20, 15)),
        ("shrink", 20, 9, Region(0, 0, 28), (14, 14)),  # the side that 30 rows leave: a multiple of 4
    ],
)
def test_a_place_lies_in_the_result(
    tmp_path: Path, way: str, x: int | None, y: int | None, region: Region, pixel: tuple[int, int]
) -> None:
    image = write(tmp_path / "a.png", 41, 30)
    place = Place.around(image, way, ["bicubic-x4", "promptsr-tiny-x4"], x, y)
    assert (place.region, place.pixel) == (region, pixel)
    assert (place.scale, place.network) == (4, "promptsr-tiny-x4")


def test_what_is_no_place_is_refused(tmp_path: Path) -> None:
    image = write(tmp_path / "a.png", 41, 30)
    for photo, names in ((None, ["bicubic-x4"]), (image, [])):
        with pytest.raises(UserError, match="choose a photograph and a model first"):
            Place.around(photo, "enlarge", names, None, None)
    with pytest.raises(UserError, match="There is no model nothing"):
        Place.around(image, "enlarge", ["nothing"], None, None)
    with pytest.raises(UserError, match="Of bicubic-x4 none is a PromptSR network"):
        _ = Place.around(image, "enlarge", ["bicubic-x4"], None, None).network


@given(
    side=st.sampled_from(SIDES),
    number=st.integers(0, 5),
    way=st.sampled_from(["shrink", "enlarge"]),
    scale=st.sampled_from([2, 3, 4]),
    x=st.integers(0, 2000),
    y=st.integers(0, 2000),
)
def test_a_link_of_earlier_versions_leads_to_its_place(
    side: int, number: int, way: str, scale: int, x: int, y: int
) -> None:
    names, sample = [f"bicubic-x{scale}", f"promptsr-tiny-x{scale}"], sample_paths(side)[number]
    query = {"sample": sample.stem, "side": side, "way": way, "model": names, "x": x, "y": y}
    place = links.read_place(QueryParams(urlencode(query, doseq=True)))
    assert place == Place.around(str(sample), way, names, x, y)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sample": "../../etc/passwd"}, "There is no sample .*: a link names one of astronaut"),
        ({"sample": "china", "side": "100000"}, "A link has a side of 192, 256, 384"),
        ({"sample": "china", "way": "steal"}, "a way of shrink or enlarge"),
        ({"sample": "china", "model": "nothing"}, "There is no model nothing"),
        ({"sample": "china", "x": "-4"}, "The x of a link must be a whole number, not -4"),
        ([("sample", "china"), ("model", "bicubic-x4"), ("model", "bicubic-x2")], "bicubic-x2 enlarges x2, not x4"),
    ],
)
def test_wrong_links_say_what_is_wrong(query: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        links.read_place(QueryParams({"sample": "china"} | query if isinstance(query, dict) else query))


def test_a_link_of_earlier_versions_needs_no_more_than_a_sample() -> None:
    assert links.read_place(QueryParams({"sample": "china"})).models == ("bicubic-x4", models.favourite())


@pytest.mark.parametrize("way", ["shrink", "enlarge"])
@pytest.mark.parametrize("middle", [(100, 90), (0, 0), (9999, 9999)])
def test_every_tab_opens_the_same_place(way: str, middle: tuple[int, int]) -> None:
    """Handed on from tab to tab, a place stays where it is, as far as the pixels of a tab are fine enough."""
    sample = sample_paths(192)[1]
    place = Place.around(str(sample), way, ["bicubic-x4", "promptsr-tiny-x4"], *middle)
    x, y = (start + SIDE // 2 for start in (place.region.x, place.region.y))

    compared = compare_tab._case(place)
    corner = [compared[key] for key in ("x", "y", "size")]
    assert compared["way"] == way and corner == [place.region.x, place.region.y, SIDE]
    assert compare_tab._here(str(sample), way, list(place.models), *corner) == place

    attributed = attribution_tab._case(place)
    left, top, window = (attributed[key] for key in ("x", "y", "window"))
    assert (left, top, window) == (x - 8, y - 8, 16)
    assert attribution_tab._here(str(sample), way, list(place.models), left, top, window) == place

    looked = attention_tab._case(place)
    assert (looked["group"], looked["block"]) == (4, 2)
    found = attention_tab._here(*(looked[key] for key in ("photo", "model", "x", "y")))
    step = 2 * (4 if way == "enlarge" else 1)  # the tab shows half of the 192 pixels
    for along, expected in zip(found.pixel, place.pixel, strict=True):
        assert abs(along - expected) <= step or way == "shrink"

    upscaled = upscale_tab._case(place)
    assert (upscaled["model"], upscaled["against"]) == ("promptsr-tiny-x4", "bicubic")
