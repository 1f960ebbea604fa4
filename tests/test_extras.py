"""The network needs four packages; without the others a sentence says what to install."""

import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from promptsr.zoo.peers.imdn import IMDN
from tests.test_house import PROJECT

PROGRAM = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import numpy as np
import torch
from promptsr import ModelConfig, PromptSR, Upscaler, build_model, load_model, record
from promptsr.imaging import Picture

model = load_model("promptsr-tiny-x4")
assert model(torch.rand(1, 3, 16, 16)).shape == (1, 3, 64, 64)
assert Upscaler(model)(Picture(np.zeros((8, 9, 3), np.uint8))).picture.width == 36
try:
    from promptsr.imaging import decode
except ModuleNotFoundError as error:
    print(error)
import promptsr.cli
"""


def test_the_network_runs_without_the_extras() -> None:
    lines = [
        line for name in ("cli", "train", "analysis", "hub", "app") for line in PROJECT["optional-dependencies"][name]
    ]
    extra = {canonicalize_name(Requirement(line).name) for line in lines} - {"promptsr"}
    absent = [name for name, parts in packages_distributions().items() if extra & set(map(canonicalize_name, parts))]
    assert {"pyvips", "typer", "gradio", "lightning_fabric", "matplotlib"} <= set(absent)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *absent], capture_output=True, text=True, timeout=120)
    assert done.stdout == "pyvips is not installed: run pip install '.[all]' in the checkout.\n", done.stderr
    assert done.returncode == 1
    assert done.stderr == "typer is not installed: run pip install '.[all]' in the checkout.\n"


COMMANDS = """
import sys

import analysis.cli
import promptsr.cli
from promptsr.zoo.listing import search_models

models = search_models().models
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
print(*(model.name for model in models))
"""


def test_help_and_the_list_of_models_load_nothing_that_takes_time(tmp_path: Path) -> None:
    """They shall start within a second: what a command needs is imported when it runs."""
    model, stored = tmp_path / "models" / "sub" / "compact.pth", {"PROMPTSR_CACHE": str(tmp_path / "cache")}
    model.parent.mkdir(parents=True)
    torch.save(IMDN(2).state_dict(), model)
    environment = {**os.environ, **stored, "PROMPTSR_MODELS": str(tmp_path / "models")}
    slow = (
        "torch",
        "pyvips",
        "scipy",
        "pandas",
        "matplotlib",
        "httpx",
        "gradio",
        "huggingface_hub",
        "skimage",
        "sklearn",
        "PIL",
    )
    lines = []
    for _ in range(2):  # the first one reads the other network's file, by torch
        run = [sys.executable, "-c", COMMANDS, *slow]
        done = subprocess.run(run, capture_output=True, text=True, env=environment, check=True)
        lines.append(done.stdout.splitlines())
    [first, names], [second, again] = lines
    assert "torch" in first.split() and second == ""
    assert names == again and "compact" in names.split()
