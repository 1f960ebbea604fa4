"""While a result grows, what is seen is finished pixel by pixel, and the comparison elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptsr.imaging import Picture, decode, encode
from promptsr.inference.upscaler import Upscaler
from promptsr.zoo.load import load_model
from workbench.sessions import growing
from workbench.sessions.pictures import save_view
from workbench.tabs import upscale as upscale_tab
from workbench.ui.advanced import DEFAULTS


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """38 x 45 pixels with alpha, in tiles of 16."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(7)
    color, alpha = rng.integers(0, 256, (38, 45, 3), np.uint8), rng.integers(0, 256, (38, 45), np.uint8)
    encode(Picture(color, alpha), tmp_path / "photo.png")
    return tmp_path / "photo.png"


def views(photo: Path, *changed: Any) -> list[Picture]:
    """Return the pictures that are shown until the end."""
    settings = [*changed, *DEFAULTS[len(changed) :]]
    steps = upscale_tab._upscale(str(photo), "promptsr-tiny-x2", "bicubic", *settings)
    return [decode(Path(step[3])) for step in steps if isinstance(step[3], str)]


def test_what_is_seen_is_finished_or_the_comparison(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_PAUSE", 0)
    monkeypatch.setattr(growing, "_SHARE", 1e9)
    monkeypatch.setattr("workbench.ui.status._BLINK", 0)
    before = Upscaler(load_model("bicubic-x2"))(decode(photo)).picture
    after = Upscaler(load_model("promptsr-tiny-x2"), tile=16)(decode(photo)).picture
    seen = views(photo, "16")
    shares = []
    for view in seen:
        assert view.alpha is not None and before.alpha is not None and after.alpha is not None
        for now, old, new in ((view.color, before.color, after.color), (view.alpha, before.alpha, after.alpha)):
            assert ((now == old) | (now == new)).all()
        shares.append((view.color == after.color).all(axis=2).mean())
    assert len(seen) > 10 and shares == sorted(shares) and shares[0] < 0.2 and shares[-1] == 1


def test_a_large_one_is_seen_smaller(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_PAUSE", 0)
    monkeypatch.setattr(growing, "_SHARE", 1e9)
    monkeypatch.setattr(growing, "_PIXELS", 76 * 90 // 4)
    for settings in (("16",), ("16", 256, False, "cpu", "scale", 1.5)):  # of the network's result in any case
        assert {view.color.shape for view in views(photo, *settings)} == {(38, 45, 3)}


def test_looking_takes_a_small_share_of_the_time(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_KEPT", 2)
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    grown = growing.Growing(decode(photo))

    def save(*args: Any) -> Path:
        nonlocal now
        now += 0.12
        return save_view(*args)

    monkeypatch.setattr(growing, "save_view", save)
    files = []
    while now < 140:
        now += 0.05
        files.append(grown.view())
    looks = [file for file in files if file]
    assert len(looks) * 0.12 <= 0.031 * 40 and len(looks) >= 8
    assert [file.exists() for file in looks] == [False] * (len(looks) - 2) + [True] * 2


def test_one_tile_has_nothing_to_show(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_PAUSE", 0)
    encode(Picture(decode(photo).color), photo)
    assert views(photo, "whole") == []
