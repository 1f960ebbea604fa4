"""The page shows and offers the same pixels that the command line writes, and the browser draws those."""

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from PIL import Image, ImageCms
from playwright.sync_api import Page

from analysis.common.samples import write_samples
from promptsr import Upscaler, load_model
from promptsr.imaging import Metadata, Picture, decode, encode
from tests.imaging.conftest import heic_of
from tests.workbench.conftest import Server, ask

HEIGHT, WIDTH, SCALE = 20, 28, 4
_y, _x = np.mgrid[:HEIGHT, :WIDTH]
DEEP = np.stack([1200 * _x + _y, 1700 * _y + _x, 40000 + 400 * (_x % 7) * (_y % 5)], axis=-1).astype(np.uint16)
LIGHT = (DEEP >> 8).astype(np.uint8)
ALPHA = (65535 - 60 * (_x - 14) ** 2 - 90 * (_y - 10) ** 2).astype(np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDE = SRGB[:64] + b"\0\0\0\1" + SRGB[68:]  # another rendering intent, and so another profile


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., :1], 3, axis=2)


def oriented(path: Path) -> None:
    """Write a picture turned by a quarter, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(LIGHT).save(path, exif=exif)


KINDS: dict[str, Callable[[Path], object]] = {
    "8-bit.png": lambda path: encode(Picture(LIGHT), path),
    "16-bit.png": lambda path: encode(Picture(DEEP), path),
    "tiff-16-bit.tif": lambda path: encode(Picture(DEEP), path),
    "alpha.png": lambda path: encode(Picture(LIGHT, (ALPHA >> 8).astype(np.uint8)), path),
    "alpha-16-bit.png": lambda path: encode(Picture(DEEP, ALPHA), path),
    "grey.png": lambda path: encode(Picture(grey(LIGHT), grey=True), path),
    "grey-16-bit.png": lambda path: encode(Picture(grey(DEEP), grey=True), path),
    "grey-alpha.png": lambda path: encode(Picture(grey(DEEP), ALPHA, grey=True), path),
    "palette.png": lambda path: Image.fromarray(LIGHT).quantize(16).save(path),
    "1-bit.png": lambda path: Image.fromarray(LIGHT).convert("1").save(path),
    "rotated.jpg": oriented,
    "rotated-2.png": oriented,
    "cmyk.jpg": lambda path: Image.fromarray(LIGHT).convert("CMYK").save(path),
    "phone.heic": lambda path: path.write_bytes(heic_of(LIGHT)),
    "profiled.png": lambda path: encode(Picture(LIGHT, metadata=Metadata(icc=WIDE)), path),
    "profiled-16-bit.png": lambda path: encode(Picture(DEEP, ALPHA, metadata=Metadata(icc=WIDE)), path),
}


@pytest.fixture(scope="module")
def written(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Each image, and what `promptsr upscale` makes of it."""
    folder = tmp_path_factory.mktemp("right")
    for name, write in KINDS.items():
        write(folder / name)
    promptsr = Path(sys.executable).with_name("promptsr")
    command: list[str | Path] = [promptsr, "upscale", folder, "--model", server.weights, "--output", folder / "out"]
    subprocess.run([*command, "--tile", "16", "--format", "png"], check=True, capture_output=True)
    return {name: (folder / name, folder / "out" / f"{Path(name).stem}.png") for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_the_page_shows_what_the_command_line_writes(
    client: Client, written: dict[str, tuple[Path, Path]], name: str
) -> None:
    source, expected = written[name]
    (_, right), result, download, _ = ask(client, "upscale", source)
    assert Path(download).read_bytes() == expected.read_bytes()
    picture = decode(expected)
    sides = (HEIGHT, WIDTH) if not name.startswith("rotated") else (WIDTH, HEIGHT)
    assert (picture.height, picture.width) == (SCALE * sides[0], SCALE * sides[1])
    assert (picture.bit_depth == 16) == ("16-bit" in name or name == "grey-alpha.png")
    assert picture.grey == name.startswith(("grey", "1-bit"))
    assert (picture.alpha is not None) == ("alpha" in name or name == "profiled-16-bit.png")
    assert picture.metadata.icc == (WIDE if name.startswith("profiled") else None)
    factor = 257 if picture.bit_depth == 16 else 1
    for shown in (decode(Path(right)), decode(Path(result))):
        assert shown.bit_depth == 8 and shown.grey == picture.grey and shown.metadata.icc == picture.metadata.icc
        np.testing.assert_array_equal(shown.color, np.floor(picture.color / factor + 0.5))
        if picture.alpha is None:
            assert shown.alpha is None
        else:
            assert shown.alpha is not None
            np.testing.assert_array_equal(shown.alpha, np.floor(picture.alpha / factor + 0.5))


def test_the_browser_draws_the_pixels_of_the_file(page: Page, tmp_path: Path) -> None:
    """Check the result that the page opens with."""
    image = page.locator("#magnifier-result img")
    image.wait_for()
    drawn = image.evaluate(
        """async image => {
          await image.decode();
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          const context = canvas.getContext('2d');
          context.drawImage(image, 0, 0);
          const values = context.getImageData(0, 0, canvas.width, canvas.height).data;
          let text = '';
          for (let i = 0; i < values.length; i += 8192) text += String.fromCharCode(...values.subarray(i, i + 8192));
          return [canvas.height, canvas.width, btoa(text)];
        }"""
    )
    height, width, text = drawn
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    sample = write_samples(tmp_path, 192)[1]
    expected = Upscaler(load_model("promptsr-x4"))(decode(sample)).picture
    np.testing.assert_array_equal(pixels[..., :3], expected.color)
    assert (pixels[..., 3] == 255).all()
