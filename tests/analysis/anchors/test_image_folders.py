"""Image sets from folders of category folders: what is found, drawn and refused, and sizes by header."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.anchors.image_folders import find_image_set, image_size
from promptsr.imaging.decode import decode
from promptsr.support.errors import UserError


def fill(root: Path, counts: dict[str, int]) -> Path:
    """Category folders with so many images each."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (4, 3)).save(root / name / f"{i:02}.png")
    return root


def test_names_and_images_are_sorted(tmp_path: Path) -> None:
    fill(tmp_path, {"b": 2, "a": 3, "empty": 0, ".hidden": 2})
    (tmp_path / "b" / "notes.txt").write_text("no image")
    Image.new("RGB", (4, 3)).save(tmp_path / "beside.png")
    found = find_image_set(tmp_path)
    assert found.names == ("a", "b")
    assert found.files == ("a/00.png", "a/01.png", "a/02.png", "b/00.png", "b/01.png")
    assert found.categories == (0, 0, 0, 1, 1)
    assert found.path(3) == tmp_path / "b" / "00.png" and found.path(3).is_file()


def test_draw_is_reproducible_and_keeps_to_its_category(tmp_path: Path) -> None:
    fill(tmp_path / "both", {"a": 20, "b": 20, "c": 2})
    first, again, other = (find_image_set(tmp_path / "both", 5, seed) for seed in (0, 0, 1))
    assert first == again and first != other
    assert np.bincount(first.categories).tolist() == [5, 5, 2]
    assert len(set(first.files)) == 12 and list(first.files) == sorted(first.files)
    fill(tmp_path / "less", {"b": 20, "c": 2})  # without a, the same of b are drawn
    of_b = [file for file in first.files if file.startswith("b/")]
    assert [file for file in find_image_set(tmp_path / "less", 5).files if file.startswith("b/")] == of_b
    assert [file[2:] for file in of_b] != [file[2:] for file in first.files if file.startswith("a/")]


@pytest.mark.parametrize(("counts", "found"), [({}, 0), ({"a": 0, "b": 0}, 0), ({"a": 3, "b": 0}, 1)])
def test_too_few_categories_are_refused(tmp_path: Path, counts: dict[str, int], found: int) -> None:
    with pytest.raises(UserError, match=f"images in {found} of its folders; put each of two or more"):
        find_image_set(fill(tmp_path, counts))


def test_only_folders_are_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(UserError, match=f"{path.name} is not a folder"):
            find_image_set(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", [None, 3, 6, 8])
def test_size_by_header_is_that_of_the_decoded_image(tmp_path: Path, suffix: str, orientation: int | None) -> None:
    path, exif = tmp_path / f"x.{suffix}", Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    picture = decode(path)
    assert image_size(path) == (picture.height, picture.width)
    assert image_size(path) == ((30, 20) if orientation in (6, 8) else (20, 30))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60)])
def test_without_a_readable_header_there_is_no_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert image_size(path) == (0, 0)
