"""The tab *Attention* without a browser: what it shows is what the analysis says, and what cannot be is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gradio_client import Client, handle_file  # type: ignore[import-untyped]

from analysis.attention.categories import categories
from analysis.attention.depth import over_depth
from analysis.attention.figure import overlay
from analysis.attention.pixel import PixelAttention, attention_of
from analysis.common.suggestions import KINDS, suggest
from promptsr import load_model
from promptsr.data import make_lr
from promptsr.imaging import decode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.progress import finish
from tests.workbench.conftest import Server, ask, pixels
from workbench.sessions import models
from workbench.sessions.attention import find_place

ZOOM = 12
"""40 x 24 pixels are shown so many times larger."""


@pytest.fixture(scope="module")
def network(server: Server) -> PromptSR:
    network = load_model(server.weights).network
    assert isinstance(network, PromptSR)
    return network


@pytest.fixture(scope="module")
def expected(network: PromptSR, plain_photo: Path) -> PixelAttention:
    return attention_of(network, decode(plain_photo).to_tensor(), group=1, block=1, x=30, y=9)


def test_numbers_and_pictures_are_those_of_the_analysis(
    client: Client, plain_photo: Path, expected: PixelAttention
) -> None:
    whole, maps, rows, facts = ask(client, "attention", plain_photo)
    assert "40 × 24" in facts and "30, 9" in facts and f"rank correlation {expected.spearman:.2f}" in facts
    found = {row["map"]: row for row in rows}
    assert len(rows) == 7 + 2 * 2  # two layers of two heads
    for name, label in (("fine", "fine"), ("composed", "composed"), ("reading_2", "reading 2")):
        [reach] = expected.reach(name)
        assert reach is not None
        assert found[label]["effective"] == pytest.approx(reach.effective, rel=1e-4)
        assert found[label]["distance"] == pytest.approx(reach.distance, rel=1e-4)
    head = expected.reach("windows_fine")[1]
    assert head is not None
    assert found["window, fine layer, head 2"]["radius"] == pytest.approx(head.radius, rel=1e-4)
    assert found["fine"]["unit"] == "anchors" and found["composed"]["unit"] == "pixels"

    shown = pixels(whole)
    assert shown.shape == (24 * ZOOM, 40 * ZOOM, 3)
    np.testing.assert_array_equal(shown[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM], decode(plain_photo).color)
    composed = next(each["image"] for each in maps if each["caption"].startswith("From pixel to pixel"))
    seen = pixels(composed)[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM].astype(int)
    wanted = np.rint(255 * overlay(expected.weights["composed"], expected.photo)).astype(int)
    assert np.abs(seen - wanted).max() <= 1
    corner = pixels(composed)[9 * ZOOM - 1, 30 * ZOOM - 1].astype(int)
    assert corner[2] > 200 > corner[1] > corner[0]  # the blue frame of the pixel


def test_without_the_jacobian_there_is_no_correlation(client: Client, plain_photo: Path) -> None:
    _, maps, rows, facts = ask(client, "attention", plain_photo, jacobian=False)
    assert "rank correlation" not in facts and "jacobian" not in {row["map"] for row in rows}
    assert not any("Jacobian" in each["caption"] for each in maps)


def test_files_hold_the_maps(client: Client, plain_photo: Path, expected: PixelAttention) -> None:
    figure, vector, arrays = map(Path, ask(client, "attention_figure", plain_photo))
    assert [file.name for file in (figure, vector, arrays)] == [
        f"plain-attention.{end}" for end in ("png", "svg", "npz")
    ]
    assert pixels(str(figure)).shape[1] > 1500 and b"<svg" in vector.read_bytes()
    with np.load(arrays) as stored:
        np.testing.assert_allclose(stored["composed"], expected.weights["composed"].values, atol=1e-6)
        np.testing.assert_array_equal(stored["members_fine"], expected.groups["members_fine"])


def test_every_block_is_looked_into(client: Client, plain_photo: Path, network: PromptSR) -> None:
    chart, files, news = client.predict(handle_file(plain_photo), "own-tiny", api_name="/attention_depth")
    table = pd.read_csv(files[0])
    wanted = finish(over_depth(network, decode(plain_photo).to_tensor(), pixels=16)).table
    assert list(table["group"]) == [1, 1, 2, 2, 3, 3, 4, 4]
    np.testing.assert_allclose(table["distance"], wanted["distance"], rtol=1e-4)
    assert pixels(chart).std() > 5 and "16 pixels" in news


def test_categories_of_all_blocks(client: Client, plain_photo: Path, network: PromptSR) -> None:
    pictures, finding, agreement, files = client.predict(handle_file(plain_photo), "own-tiny", api_name="/categories")
    maps = categories(network, decode(plain_photo).to_tensor())
    captions = [f"Group {m.group}, block {m.block}, {m.kind}: {len(np.unique(m.labels))} categories" for m in maps.maps]
    assert [each["caption"] for each in pictures] == captions and len(captions) == 16
    assert "untrained networks" in finding and pixels(agreement).std() > 5
    table = pd.read_csv(next(file for file in files if file.endswith(".csv")))
    assert list(table["used"]) == [len(np.unique(m.labels)) for m in maps.maps]


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_suggested(plain_photo: Path, network: PromptSR, kind: str) -> None:
    """The photograph plays the original."""
    hr = decode(plain_photo).to_tensor()
    lr = make_lr(hr, 4)
    with torch.no_grad():
        results = [quantize(upscale(lr, 4)), quantize(network(lr))]
    region = suggest(kind, lr, hr, results, network.config.window_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "network", lambda name: network)
        assert find_place(kind, str(plain_photo), "own-tiny") == (region.x + 4, region.y + 4)
