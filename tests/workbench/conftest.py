"""A running workbench with a model of its own, and what its results must equal."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from promptsr import Upscaler, build_model, load_model
from promptsr.checkpoints import save_checkpoint
from promptsr.config import preset
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.zoo import OWN_MODELS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Server:
    """A workbench that serves this machine only."""

    url: str
    weights: Path
    """Of the model that the page calls `own-tiny`, an x4 network with windows of 8."""
    record: Path
    """Lists every address outside of this machine that the server tried to reach."""

    def expected(self, source: Path, target: Path, tile: int) -> bytes:
        """The file that `promptsr upscale` writes with `own-tiny` for this image and tile; `target` says the format."""
        encode(Upscaler(load_model(self.weights), tile=tile)(decode(source)).picture, target)
        return target.read_bytes()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("workbench")
    weights = folder / "models" / "own-tiny.safetensors"
    network = build_model("promptsr-tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in network.decoder.parameters():  # it starts as zero, and the network as bicubic
            torch.nn.init.normal_(parameter, std=0.02)
    save_checkpoint(weights, preset("promptsr-tiny"), network.state_dict(), {})
    (folder / "models" / "broken.safetensors").write_bytes(b"no weights")
    record = folder / "reached.txt"
    record.touch()
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, HERE / "guarded.py", str(port), record],
        cwd=HERE.parents[1],
        env={
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            OWN_MODELS: str(weights.parent),
            "GRADIO_TEMP_DIR": str(folder / "cache"),
            "GRADIO_ANALYTICS_ENABLED": "True",  # what the page itself has to switch off
        },
        stdout=(folder / "log.txt").open("w"),
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, folder / "log.txt")
        yield Server(url, weights, record)
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def deep_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG with all that is easily lost: 16 bits, alpha that varies, and a colour profile."""
    y, x = np.mgrid[:36, :52]
    color = np.stack([1200 * x + y, 1700 * y + x, 40000 + 400 * (x % 7) * (y % 5)], axis=-1).astype(np.uint16)
    alpha = (65535 - 20 * (x - 26) ** 2 - 40 * (y - 18) ** 2).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path_factory.mktemp("photos") / "deep.png"
    encode(Picture(color, alpha, metadata=Metadata(icc=profile)), path)
    return path


@pytest.fixture(scope="session")
def plain_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small 8-bit PNG."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photos") / "plain.png"
    Image.fromarray(pixels).save(path)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"The workbench did not start:\n{log.read_text()}")
