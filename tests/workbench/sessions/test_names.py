"""Names of files and models are shown as they are, and downloads have names that every system takes."""

import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptsr.imaging import decode
from promptsr.support.errors import UserError
from promptsr.zoo.load import OWN_MODELS, WEIGHTS
from workbench.sessions import models
from workbench.sessions.pictures import new_file
from workbench.tabs import compare as compare_tab
from workbench.tabs import upscale as upscale_tab
from workbench.ui import status
from workbench.ui.components import toast

NAMES = ["[b] $x$_y_", "<img src=x>", "**a**", "a#b?c%d"]
ILLEGAL = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')  # on Windows


@pytest.fixture(scope="module")
def odd_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models with these names."""
    folder = tmp_path_factory.mktemp("odd")
    for name in NAMES:
        shutil.copy(WEIGHTS / "promptsr-tiny-x2.safetensors", folder / f"{name}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OWN_MODELS, str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
        for kept in (models._listing, models._kept):
            kept.cache_clear()
        yield
    for kept in (models._listing, models._kept):
        kept.cache_clear()


@given(st.text(max_size=300))
def test_any_name_makes_a_file_that_every_system_takes(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    first = new_file(folder, name, ".png")
    first.touch()
    second = new_file(folder, name, ".png")
    assert first.parent == second.parent == folder and first != second
    for path in (first, second):
        assert path.suffix == ".png" and not ILLEGAL.search(path.stem) and len(path.name.encode()) < 256


def test_names_that_are_legal_stay(tmp_path: Path) -> None:
    assert new_file(tmp_path, "[anime] pic [v2]-x4", ".png").name == "[anime] pic [v2]-x4.png"


@pytest.mark.parametrize("name", NAMES)
def test_models_are_shown_by_their_names(odd_models: None, plain_photo: Path, name: str) -> None:
    *_, (shown, rows, _) = compare_tab.compare_models(str(plain_photo), "enlarge", None, [name, "bicubic-x2"], "auto")
    assert [row["model"] for row in rows] == [name, "bicubic-x2"]
    view = shown.look(shown.fit(None, None, 16))
    assert [each["name"] for each in view["pictures"]] == ["Input", name, "bicubic-x2"]
    [(difference, caption)] = shown.differences("bicubic-x2", 16, True)
    assert caption.startswith(f"{name} − bicubic-x2")
    *_, (_, _, _, download, news) = upscale_tab.upscale(str(plain_photo), name, "bicubic", "auto", "PNG")
    assert decode(Path(download)).width == 80
    assert [each["file"] for each in view["pictures"]] == [*map(str, shown.files.values())]
    for file in (difference, download, *map(str, shown.files.values())):
        assert not ILLEGAL.search(Path(file).name) and not set("#%") & set(file)
        assert Path(file).exists()
    assert "<img" not in news and escape(name) in news


def test_a_refusal_is_no_markup() -> None:
    def refuse() -> None:
        raise UserError('<img src=x>.png is "damaged" & small.')

    with pytest.raises(gr.Error) as refusal:
        toast(refuse)()
    assert str(refusal.value.message) == '&lt;img src=x&gt;.png is "damaged" &amp; small.'
    assert "<img" not in status.running("<img src=x>.png") + status.done({"<b>": "<img src=x>.png"})


def test_pictures_of_one_folder_do_not_replace_each_other(tmp_path: Path) -> None:
    paths = []
    for name in ("a*b", "a?b", "a_b"):
        paths.append(new_file(tmp_path, name, ".npy"))
        np.save(paths[-1], np.zeros(1))
    assert [path.name for path in paths] == ["a_b.npy", "a_b-2.npy", "a_b-3.npy"]
