"""Which files belong together, by their names and by their headers."""

from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from promptsr.data import load_common, load_pair
from promptsr.data.pairs import _pair, find_pairs, search_pairs
from promptsr.support.errors import ImageError, UserError


def write(path: Path, width: int = 8, height: int = 8, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


# Endings of HR and LR names, as data sets have them at x4
CONVENTIONS = [
    ("", ""),
    ("", "x4"),
    ("", "x4m"),
    ("", "x4w2"),
    ("", "_x4"),
    ("", "-4x"),
    ("", "_LR"),
    ("", "_LRBI_x4"),
    ("", "_LRBD_x4"),
    ("", "_bicLRx4"),
    ("_GT", "_LR"),
    ("_HR", "_LR4"),
    ("_HR_x4", "_LRBI_x4"),
    ("_SRF_4_HR", "_SRF_4_LR"),
    ("_x1", "_x4"),
    (".hq", ".lq"),
]


@given(
    st.lists(st.text("a1_-x4hrlHRsf. ", min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from(CONVENTIONS),
    st.sampled_from([("", ""), ("HR_", "LR_"), ("hr-", "lr-")]),
    st.sampled_from([".png", ".PNG", ".jpg"]),
    st.booleans(),
    st.randoms(),
)
def test_images_get_their_own_partner_or_none(
    bases: list[str],
    endings: tuple[str, str],
    beginnings: tuple[str, str],
    suffix: str,
    upper: bool,
    random: Random,
) -> None:
    """Even for names that look like marks themselves, a pair is never wrong: what is not sure is refused."""
    assume(len({base.casefold() for base in bases}) == len(bases))
    hr = [Path("hr") / f"{beginnings[0]}{base}{endings[0]}.png" for base in bases]
    lr = [Path("lr") / f"{beginnings[1]}{base.upper() if upper else base}{endings[1]}{suffix}" for base in bases]
    shuffled = sorted(lr, key=lambda _: random.random())
    with suppress(UserError):
        assert _pair(hr, shuffled, Path("lr"), 4) == list(zip(hr, lr, strict=True))


@given(
    st.lists(st.from_regex(r"\A[a-ce-g]+_\d{3}\Z"), min_size=1, max_size=5, unique=True),
    st.sampled_from(CONVENTIONS),
    st.booleans(),
)
def test_ordinary_names_are_always_paired(bases: list[str], endings: tuple[str, str], upper: bool) -> None:
    hr = [Path("hr") / f"{base}{endings[0]}.png" for base in bases]
    lr = [Path("lr") / f"{base}{endings[1]}.png" for base in bases]
    lr = [path.with_name(path.name.upper()) for path in lr] if upper else lr
    for scale in (4, None):
        assert _pair(hr, lr[::-1], Path("lr"), scale) == list(zip(hr, lr, strict=True))


def test_pairs_of_folders(tmp_path: Path) -> None:
    hr, lr, empty = tmp_path / "hr", tmp_path / "lr", tmp_path / "empty"
    empty.mkdir()
    for name in ("hr/b.png", "hr/a.jpg", "lr/ax2.png", "lr/b.webp", "lr/more.png"):
        write(tmp_path / name)
    assert (
        find_pairs(hr, lr) == find_pairs(hr, lr, 2) == [(hr / "a.jpg", lr / "ax2.png"), (hr / "b.png", lr / "b.webp")]
    )
    assert find_pairs(hr, None) == [(hr / "a.jpg", None), (hr / "b.png", None)]
    with pytest.raises(UserError, match=r"lr has no LR image called a\.jpg: add it"):
        find_pairs(hr, lr, 4)  # what is there is of another scale
    for folder, message in ((tmp_path / "nowhere", "not a folder"), (empty, "holds no image")):
        for pair in ((folder, None), (hr, folder)):
            with pytest.raises(UserError, match=message):
                find_pairs(*pair)
            with pytest.raises(UserError, match=message):
                search_pairs(pair[0], pair[1], 2)


def test_missing_and_ambiguous_partners_are_named(tmp_path: Path) -> None:
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for name in "abcdef":
        write(hr / f"{name}.png")
    write(lr / "f.png")
    with pytest.raises(UserError, match=r"no LR image called a\.png, b\.png, c\.png and 2 more: add them, or do"):
        find_pairs(hr, lr)
    for name in "abcde":
        write(lr / f"{name}x2.png")
    write(lr / "cx3.png")
    assert find_pairs(hr, lr, 3 - 1)[2] == (hr / "c.png", lr / "cx2.png")
    with pytest.raises(UserError, match=r"several LR images for c\.png \(cx2\.png, cx3\.png\): keep one"):
        find_pairs(hr, lr)
    (lr / "cx3.png").unlink()
    write(hr / "c_HR.png")
    with pytest.raises(UserError, match=r"cx2\.png may belong to c\.png, c_HR\.png: give each"):
        find_pairs(hr, lr)


def test_both_may_lie_in_one_folder(tmp_path: Path) -> None:
    marked, plain = tmp_path / "marked", tmp_path / "plain"
    for name in ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png", "img_001_SRF_4_bicubic.png"):
        write(marked / name)
    for name in ("baby.png", "babyx2.png", "babyx4.png"):
        write(plain / name)
    assert find_pairs(marked, marked, 4) == [(marked / "img_001_SRF_4_HR.png", marked / "img_001_SRF_4_LR.png")]
    assert find_pairs(plain, plain, 4) == [(plain / "baby.png", plain / "babyx4.png")]


@pytest.mark.parametrize("name", ["X4", "x4"])
def test_the_folder_of_a_scale_may_be_left_out(tmp_path: Path, name: str) -> None:
    for path in ("hr/a.png", f"LR_bicubic/{name}/ax4.png", "LR_bicubic/X2/ax2.png"):
        write(tmp_path / path)
    expected = [(tmp_path / "hr" / "a.png", tmp_path / "LR_bicubic" / name / "ax4.png")]
    assert find_pairs(tmp_path / "hr", tmp_path / "LR_bicubic", 4) == expected


def test_headers_tell_which_pairs_can_be_used(tmp_path: Path) -> None:
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    sizes = {
        "down": ((97, 83), (24, 20)),
        "up": ((97, 83), (25, 21)),
        "mixed": ((97, 83), (24, 21)),
        "wrong": ((97, 83), (23, 20)),
        "wrong_too": ((96, 80), (25, 20)),
        "small": ((19, 80), (5, 20)),
        "html": ((96, 80), (24, 20)),
        "lr_empty": ((96, 80), (24, 20)),
    }
    for name, (large, small) in sizes.items():
        write(hr / f"{name}.png", *large)
        write(lr / f"{name}x4.png", *small)
    (hr / "html.png").write_text("<html>")
    (lr / "lr_emptyx4.png").write_bytes(b"")
    for other in ("readme.txt", "Thumbs.db"):
        (hr / other).write_text("no image, and never said to be one")
    found = search_pairs(hr, lr, 4, smallest=20)
    assert [path.stem for path, _ in found.pairs] == ["down", "mixed", "up"]
    assert found.pairs[0][1] == lr / "downx4.png"
    assert found.notes == ["LR sides are rounded up in mixed.png, up.png: only the part common with HR counts."]
    reasons = {path.stem: reason for path, reason in found.left_out}
    assert set(reasons) == {"wrong", "wrong_too", "small", "html", "lr_empty"}
    assert reasons["wrong"].startswith("wrongx4.png (23 x 20) is not wrong.png (96 x 80) shrunk by 4: give")
    assert "small.png (19 x 80) is smaller than 20 pixels" in reasons["small"]
    assert "html.png" in reasons["html"] and "lr_emptyx4.png" in reasons["lr_empty"]
    alone = search_pairs(hr, None, 4, smallest=2)
    assert len(alone.pairs) == len(sizes) - 1 and [path.stem for path, _ in alone.left_out] == ["html"]
    assert find_pairs(hr, None) == [(path, None) for path in sorted(hr.glob("*.png"))]


def test_rounded_up_lr_images_are_loaded_to_the_common_part(tmp_path: Path) -> None:
    hr, lr = write(tmp_path / "a.png", 97, 83), write(tmp_path / "ax4.png", 25, 21, seed=1)
    paths = tmp_path / "a.png", 4, tmp_path / "ax4.png"

    def pixels(image: object) -> np.ndarray:
        return (np.asarray(image)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)

    common, fitting = ([pixels(image) for image in load(*paths)] for load in (load_common, load_pair))
    assert np.array_equal(common[0], hr) and np.array_equal(common[1], lr)
    assert np.array_equal(fitting[0], hr[:80, :96]) and np.array_equal(fitting[1], lr[:20, :24])
    write(tmp_path / "ax4.png", 26, 21)
    for load in (load_common, load_pair):
        with pytest.raises(ImageError, match=r"ax4\.png \(26 x 21\) is not a\.png \(96 x 80\) shrunk by 4"):
            load(*paths)


@pytest.mark.parametrize(
    ("hr", "lr"),
    [("hr", "lr_x4"), ("hr", "lr_up"), ("hr", "lr_bi"), ("hr_bi", "lr_bi"), ("hr_srf", "lr_srf"), ("hr_bi", "lr_srf")],
)
def test_pairs_of_the_shared_cases(shared_data: Path, hr: str, lr: str) -> None:
    folder = shared_data / "cases" / "pairs"
    if not folder.is_dir():
        pytest.skip("no cases in the shared folder")
    pairs = find_pairs(folder / hr, folder / lr, 4)
    numbers = [[path.name[4:7] for path in pair if path] for pair in pairs]
    assert numbers == [["001", "001"], ["002", "002"]]
