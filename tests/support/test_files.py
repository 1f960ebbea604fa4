"""Files that change while they are read, a full disk, a killed program: nothing is lost or half-written."""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import promptsr
from promptsr.imaging import Picture, decode, encode
from promptsr.support.errors import ImageError
from promptsr.zoo.checkpoints import load_checkpoint
from workbench.ui.components import toast

COMMAND = str(Path(sys.executable).with_name("promptsr"))
PIXELS = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:1000],
    "emptied": lambda data: b"",
    "grown": lambda data: data + bytes(100_000),
    "overwritten": lambda data: bytes(reversed(data)),
}


def overwrite(path: Path, data: bytes) -> None:
    """Change the same file, not another one under its name."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_image_that_changes_while_it_is_read_is_that_of_before(
    kind: str, change: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its header and its pixels; libvips alone maps some formats, and the program would end with SIGBUS."""
    path = tmp_path / "photo"
    Image.fromarray(PIXELS).save(path, kind)
    before, changed = decode(path), change(path.read_bytes())
    module = sys.modules["promptsr.imaging.decode"]
    check = module._check_header

    def changing(*arguments: Any) -> None:
        check(*arguments)
        overwrite(path, changed)

    monkeypatch.setattr(module, "_check_header", changing)
    np.testing.assert_array_equal(decode(path).color, before.color)
    assert path.read_bytes() == changed


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_that_change_while_they_are_read_are_those_of_before(
    change: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the file was read; safetensors alone maps it, and the program would end with SIGBUS."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes((Path(promptsr.__file__).parent / "weights" / "promptsr-tiny-x4.safetensors").read_bytes())
    before, changed = load_checkpoint(path).state_dict(), change(path.read_bytes())
    module = sys.modules["promptsr.zoo.tensor_files"]
    load = module.load

    def changing(data: bytes) -> Any:
        overwrite(path, changed)
        return load(data)

    monkeypatch.setattr(module, "load", changing)
    torch.testing.assert_close(load_checkpoint(path).state_dict(), before, rtol=0, atol=0)
    assert path.read_bytes() == changed


def test_a_file_with_too_many_bytes_for_its_pixels_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    encode(Picture(PIXELS), path)
    with path.open("r+b") as file:
        file.truncate(2**31)  # no bytes on disk
    with pytest.raises(ImageError, match=r"photo.tif has 2147 MB, more than an image within the limit of 1.0 megapix"):
        decode(path, max_pixels=10**6)


def test_a_full_disk_spoils_nothing_that_was_written(tmp_path: Path) -> None:
    """No file grows beyond 100 kB, as if the disk were full then: the result of b alone needs more."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for name, part in (("a", 8), ("b", 1), ("c", 8)):
        encode(Picture(np.ascontiguousarray(PIXELS[::part, ::part])), folder / f"{name}.png")
    encode(Picture(PIXELS), out / "b.png")
    old = (out / "b.png").read_bytes()

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    command = [COMMAND, "upscale", str(folder), "--model", "bicubic-x4", "--overwrite", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=fill)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Cannot write" in done.stderr and "1 of 3 images could not be upscaled" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png"]  # and nothing half-written
    assert (out / "b.png").read_bytes() == old
    assert decode(out / "a.png").width == decode(out / "c.png").width == 80
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and decode(out / "b.png").width == 640


def test_a_program_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Killed again and again while one image after the other is written over an old one."""
    program = """
import signal, sys
from pathlib import Path
import numpy as np
from promptsr.imaging import Picture, encode
signal.setitimer(signal.ITIMER_PROF, float(sys.argv[2]))  # CPU time: as much of the work, however busy the machine is
for value in range(1, 256):
    encode(Picture(np.full((700, 900, 3), value, np.uint8)), Path(sys.argv[1]))
"""
    target = tmp_path / "result.png"
    encode(Picture(np.zeros((700, 900, 3), np.uint8)), target)
    rng = np.random.default_rng()
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", program, target, str(0.1 + rng.random() / 5)])
        assert killed.returncode == -signal.SIGPROF
        picture = decode(target)
        assert picture.color.shape == (700, 900, 3) and len(np.unique(picture.color)) == 1
        assert {path.name[0] for path in tmp_path.iterdir() if path != target} <= {"."}  # of what was begun: hidden
    encode(Picture(PIXELS), target)
    np.testing.assert_array_equal(decode(target).color, PIXELS)


@pytest.mark.parametrize("generating", [False, True])
def test_a_full_disk_is_a_toast_on_the_page(generating: bool) -> None:
    full = OSError(28, "No space left on device")

    def function() -> None:
        raise full

    def generator() -> Any:
        yield 1
        raise full

    with pytest.raises(Exception, match=r"could not read or write its files \(No space left on device\): try again"):
        handler = toast(generator if generating else function)
        list(handler()) if generating else handler()
