"""`module:function`: the user's own network, and the ways in which it can be wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from PIL import Image

from promptsr.support.errors import UserError
from promptsr.zoo.load import list_models, load_model
from tests.zoo.conftest import write_promptsr
from workbench.sessions import models

SOURCE = """
import sys
import torch
import torch.nn.functional as F
from torch import nn
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

class Net(nn.Module):
    def __init__(self, function=lambda x: x.repeat_interleave(3, 2).repeat_interleave(3, 3), **fields):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.function = function
        self.__dict__.update(fields)
    def forward(self, x):
        return self.function(self.conv(x))

def doubled(x):
    return F.interpolate(x, scale_factor=2)

good = Net
claimed = lambda: Net(scale=3)
other_scale = lambda: Net(scale=2)
attention_scale = lambda: Net(scale=0.125)
model = lambda: SRModel("inner", 3, Net(), min_tile=5)
wrong_model = lambda: SRModel("inner", 2, Net())
frozen = lambda: Net(lambda x: doubled(x.detach()))
fails = lambda: 1 / 0
leaves = lambda: sys.exit(3)
polite = lambda: (_ for _ in ()).throw(UserError("Put the weights into weights.pth first."))
number = lambda: 3
windowed = lambda: Net(lambda x: doubled(x.view(-1, 8, 8)))
fraction = lambda: Net(lambda x: F.interpolate(x, scale_factor=1.5))
smaller = lambda: Net(lambda x: x[..., ::2, ::2])
same = lambda: Net(lambda x: x)
oblong = lambda: Net(lambda x: x.repeat_interleave(2, 2))
grey = lambda: Net(lambda x: doubled(x).mean(1, keepdim=True))
flat = lambda: Net(lambda x: x.flatten())
listed = lambda: Net(lambda x: [x])
integers = lambda: Net(lambda x: doubled(x).byte())
value = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of one's own in the working directory, under a name that no other test has imported."""
    name = f"net_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("function", ["good", "claimed", "attention_scale", "model"])
def test_a_function_makes_a_model(module: str, function: str) -> None:
    path = list(sys.path)
    model = load_model(f"{module}:{function}")
    assert sys.path == path
    assert (model.name, model.scale, model.parameters) == (f"{module}:{function}", 3, 84)
    assert model.min_tile == (5 if function == "model" else 1)
    assert not model.network.training and model.differentiable
    image = torch.rand(2, 3, 7, 4, requires_grad=True)
    output = model(image)
    expected = model.network.get_submodule("conv")(image).repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.equal(output, expected)
    [gradient] = torch.autograd.grad(output.sum(), image)
    assert gradient.shape == image.shape and bool((gradient != 0).any())


def test_packages_have_dots_and_networks_may_lack_gradients(tmp_path: Path, module: str) -> None:
    package = tmp_path / f"{module}_package"
    package.mkdir()
    (package / "inner.py").write_text(SOURCE)
    assert not load_model(f"{module}_package.inner:frozen").differentiable


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("_missing:f", "could not be built (ModuleNotFoundError: "),
        ("_typo:f", "could not be built (SyntaxError: "),
        ("nothing", "could not be built (AttributeError: "),
        ("value", "could not be built (TypeError: 'int' object is not callable)"),
        ("fails", "could not be built (ZeroDivisionError: division by zero)"),
        ("leaves", "could not be built (SystemExit: 3)"),
        ("polite", "Put the weights into weights.pth first."),
        ("number", "returned a int: it must return a torch.nn.Module or an SRModel"),
        ("windowed", "failed on a test image of 1 x 3 x 33 x 47 (RuntimeError: shape '[-1, 8, 8]' is invalid"),
        ("fraction", "turned a test image of 1 x 3 x 33 x 47 into 1 x 3 x 49 x 70 of torch.float32: it must return"),
        ("smaller", "into 1 x 3 x 17 x 24 of"),
        ("same", "into 1 x 3 x 33 x 47 of"),
        ("oblong", "into 1 x 3 x 66 x 47 of"),
        ("grey", "into 1 x 1 x 66 x 94 of"),
        ("flat", "into 4653 of"),
        ("listed", "into list: it must return a float tensor"),
        ("integers", "into 1 x 3 x 66 x 94 of torch.uint8"),
        ("other_scale", "says that its scale is 2, but it enlarges x3"),
        ("wrong_model", "says that its scale is 2, but it enlarges x3"),
    ],
)
def test_what_is_no_network_gives_one_sentence(tmp_path: Path, module: str, function: str, sentence: str) -> None:
    (tmp_path / f"{module}_typo.py").write_text("def f(:\n")
    name = module + function if ":" in function else f"{module}:{function}"
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        load_model(name)
    message = str(caught.value)
    assert "\n" not in message and (function == "polite" or message.startswith(f"{name} "))
    assert function not in ("fails", "windowed") or caught.value.__cause__ is not None


def test_the_command_line_finds_the_module_of_the_working_directory(tmp_path: Path, module: str) -> None:
    Image.new("RGB", (5, 4), (10, 20, 30)).save("in.png")
    promptsr = str(Path(sys.executable).with_name("promptsr"))
    command = [promptsr, "upscale", "in.png", "-o", "out.png", "--model", f"{module}:good", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Image.open("out.png").size == (15, 12)
    assert json.loads(done.stdout)["images"][0]["model"] == f"{module}:good"


def test_the_page_runs_no_function(module: str, own_models: Path) -> None:
    write_promptsr(own_models / f"{module}:good.safetensors")  # a sound file, but its name reads like a function
    assert not [info.name for info in list_models() if ":" in info.name]
    for load in (models.load, models.network, models.rivals, lambda name: models.load_rival(name, 3)):
        with pytest.raises(UserError, match=f"There is no model {module}:good"):
            load(f"{module}:good")
    assert module not in sys.modules
