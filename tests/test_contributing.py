"""The examples of CONTRIBUTING.md work, put where it says into a copy of the packages."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data

from promptsr.imaging import decode
from promptsr.zoo.load import load_model
from tests.conftest import QUIET

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILES, LINES = (
    {path: text for found, path, text in BLOCK.findall(CONTRIBUTING) if found == kind} for kind in ("python", "diff")
)

LOAD_MODELS = """
import torch
from promptsr import load_model

models = [load_model(f"mine-x{scale}.pth") for scale in (2, 3, 4)]
for model in models:
    print(model.name, model.architecture, model.scale)
torch.save([model(torch.load("image.pt")) for model in models], "results.pt")
"""
CALL_TAB = """
import json, sys
import gradio as gr
from gradio_client import Client, handle_file
from workbench.tabs import consistency

with gr.Blocks() as page, gr.Tabs():
    consistency.build()
titles = [part["props"]["label"] for part in page.config["components"] if part["type"] == "tabitem"]
_, url, _ = page.launch(prevent_thread_lock=True, quiet=True)
client = Client(url, verbose=False)
answer = client.predict(handle_file(sys.argv[1]), "bicubic-x2", api_name="/consistency")
try:
    client.predict(handle_file(sys.argv[1]), "no-such-model", api_name="/consistency")
except Exception as error:
    refusal = str(error)
print(json.dumps([titles, answer, refusal]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the examples in it."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("promptsr", "analysis", "workbench"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in FILES.items():
        assert not (folder / path).exists(), f"{path} is an example, and there already"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    for path, text in LINES.items():
        before = "".join(line[1:] for line in text.splitlines(True) if not line.startswith("+"))
        after = "".join(line[1:] for line in text.splitlines(True))
        source = (folder / path).read_text()
        assert source.count(before) == 1, f"{path} has changed: mend the example in CONTRIBUTING.md"
        (folder / path).write_text(source.replace(before, after))
    return folder


@pytest.fixture(scope="module")
def photo(copy: Path) -> Path:
    path = copy / "photo.png"
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(path)  # 54 x 40
    return path


def run(copy: Path, *arguments: object) -> str:
    path = f"{copy}{os.pathsep}{os.environ['PYTHONPATH']}"
    environment = {**os.environ, **QUIET, "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def consistency(photo: Path, model: str) -> float:
    """PSNR-Y of the photograph and its result, shrunk again: in NumPy, except for the bicubic filter."""
    image = decode(photo).to_tensor()
    result = (load_model(model)(image).clamp(0, 1) * 255).round() / 255
    again = F.interpolate(result, size=image.shape[2:], mode="bicubic", antialias=True).clamp(0, 1)
    pixels = [(255 * x).round().double()[0, :, 1:-1, 1:-1].numpy() for x in (image, again)]
    luma = [np.tensordot([65.481, 128.553, 24.966], x / 255, 1) for x in pixels]
    return float(10 * np.log10(255**2 / np.mean((luma[0] - luma[1]) ** 2)))


def test_a_model_and_an_analysis_need_one_line_in_a_file_that_exists() -> None:
    assert {path.rpartition("/")[0] for path in FILES} == {
        "promptsr/zoo/peers",
        "analysis/consistency",
        "workbench/tabs",
    }
    assert set(LINES) == {"promptsr/zoo/peers/__init__.py", "analysis/cli.py"}
    assert [sum(line.startswith("+") for line in text.splitlines()) for text in LINES.values()] == [1, 1]


def test_examples_pass_the_linter(copy: Path) -> None:
    files = [copy / path for path in FILES]
    for command in (["check"], ["format", "--check"]):
        run(copy, "-m", "ruff", *command, "--no-cache", "--config", ROOT / "pyproject.toml", *files)


def espcn(scale: int, image: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Fill `state` with random tensors under the names of the original, and return their result for an image."""
    generator = torch.Generator().manual_seed(scale)
    x = image
    for name, shape in {"conv1": (64, 3, 5, 5), "conv2": (32, 64, 3, 3), "conv3": (3 * scale**2, 32, 3, 3)}.items():
        weight, bias = torch.randn(shape, generator=generator) / 20, torch.randn(shape[0], generator=generator)
        x = F.conv2d(x if name == "conv1" else x.tanh(), weight, bias, padding=shape[-1] // 2)
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return F.pixel_shuffle(x, scale)


def test_model_is_known_by_its_tensors(copy: Path) -> None:
    image = torch.rand(1, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    expected = []
    for scale in (2, 3, 4):
        state: dict[str, torch.Tensor] = {}
        expected.append(espcn(scale, image, state))
        torch.save(state, copy / f"mine-x{scale}.pth")
    torch.save(image, copy / "image.pt")
    told = run(copy, "-c", LOAD_MODELS).splitlines()
    assert told == [f"mine-x{scale} ESPCN {scale}" for scale in (2, 3, 4)]
    for result, right in zip(torch.load(copy / "results.pt"), expected, strict=True):
        torch.testing.assert_close(result, right)


def test_analysis_has_its_command(copy: Path, photo: Path) -> None:
    commands = [line for line in CONTRIBUTING.splitlines() if line.startswith("python -m analysis ")]
    [words] = [shlex.split(command.removeprefix("python ")) for command in commands]
    measured = json.loads(run(copy, *words, "--json", "-"))
    assert list(measured) == ["bicubic-x2", "promptsr-tiny-x2"]
    for model, psnr in measured.items():
        assert psnr == pytest.approx(consistency(photo, model), abs=0.02)
    assert f"{measured['bicubic-x2']:.2f}" in run(copy, *words)


def test_tab_is_shown_and_answers(copy: Path, photo: Path) -> None:
    titles, answer, refusal = json.loads(run(copy, "-c", CALL_TAB, photo).splitlines()[-1])
    assert titles == ["Consistency"]
    assert answer == pytest.approx(consistency(photo, "bicubic-x2"), abs=0.01)
    assert "There is no model no-such-model" in refusal


def test_paths_of_the_table_exist() -> None:
    table = CONTRIBUTING.partition("## Where is what")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    paths = re.findall(r"`([\w/]+(?:/|\.\w+))`", table)
    assert len(rows) >= 20 and [path for path in paths if "/" in path and not (ROOT / path).exists()] == []
