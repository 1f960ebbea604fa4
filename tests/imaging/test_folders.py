"""Images of a folder are found by content; all others are named with the reason."""

from pathlib import Path

import numpy as np
import pytest

from promptsr.imaging import find_images, search_images
from promptsr.support.errors import UserError
from tests.imaging.conftest import file_of, heic_of

NOISE = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def fill(folder: Path) -> None:
    for name, kind in {
        "b.PNG": "PNG", "a.jfif": "JPEG", "none": "WEBP", "wrong.txt": "GIF", "c.bmp": "BMP", "d.avif": "AVIF",
        "e.ppm": "PPM", "f.tga": "TGA", "g.tif": "TIFF", ".hidden.png": "PNG", "sub/deep/h.png": "PNG",
        ".cache/i.png": "PNG",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file_of(NOISE, kind))
    (folder / "h.HEIC").write_bytes(heic_of(NOISE))
    (folder / "empty.png").touch()
    (folder / "page.jpg").write_text("<html>Not found</html>")
    (folder / "page.tga").write_text("<html>Not found</html>")
    (folder / "folder.png").mkdir()
    (folder / "dead.png").symlink_to("nowhere")


def test_images_are_found_by_content(tmp_path: Path) -> None:
    fill(tmp_path)
    flat = ["a.jfif", "b.PNG", "c.bmp", "d.avif", "e.ppm", "f.tga", "g.tif", "h.HEIC", "none", "wrong.txt"]
    reasons = {
        "dead.png": "is a link to nothing",
        "empty.png": "is empty (0 bytes)",
        "page.jpg": "is not an image we read",
        "page.tga": "is not an image we read",
    }
    found = search_images(tmp_path)
    assert [path.name for path in found.images] == flat
    assert {path.name: reason for path, reason in found.left_out} == reasons
    assert find_images(tmp_path) == found.images
    deep = search_images(tmp_path, recursive=True)
    assert deep.images == sorted([*found.images, tmp_path / "sub" / "deep" / "h.png"])
    assert deep.left_out == found.left_out


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        search_images(tmp_path / "nowhere")
    assert search_images(tmp_path).images == []
    with pytest.raises(UserError, match="holds no image"):
        find_images(tmp_path)


def test_the_folder_that_troubles_people(shared_data: Path) -> None:
    folder = shared_data / "cases" / "folder"
    if not folder.is_dir():
        pytest.skip("needs cases/folder in PROMPTSR_DATA")
    found = search_images(folder, recursive=True)
    assert len(found.images) == 15
    assert {path.name for path, _ in found.left_out} == {"Thumbs.db", "empty.png", "html.jpg", "notes.txt"}
