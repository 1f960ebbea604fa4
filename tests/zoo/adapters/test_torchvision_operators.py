"""Torchvision whole, without its operators, broken and absent: each in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

from promptsr.zoo.adapters.torchvision_operators import import_torchvision

WHOLE = "import torch\ntorch.library.define('torchvision::{name}', '(Tensor x) -> Tensor')\n"
LACKING = """
import torch
import torchvision.leftover
torchvision.leftover.__name__
torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets)
torch.library.register_fake("torchvision::qnms")(lambda dets, scores, iou_threshold: dets)
loaded = True
"""
"""What makes the real one fail at its import: descriptions of operators that its library did not bring."""
MISFIT = "raise RuntimeError('PyTorch has CUDA Version=13.0 and torchvision has CUDA Version=12.8.')"
UNKNOWN = "raise RuntimeError('operator torchvision::other does not exist')"

SCRIPT = """
import sys, threading, warnings
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(import_torchvision())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    import torch, torchvision
print(answers, getattr(torchvision, "loaded", None), hasattr(torch.ops.torchvision, "qnms"))
for warning in seen:
    print(warning.category.__name__, warning.message)
"""
REFUSAL = """
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
from promptsr.support.errors import UserError
for _ in range(2):
    try:
        import_torchvision()
    except UserError as error:
        print(error)
"""


def run(script: str, folder: Path, torchvision: str) -> list[str]:
    """Lines that a script prints where this is torchvision."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(torchvision)
    (package / "leftover.py").write_text("")
    lines = f"import sys\nsys.path.insert(0, {str(folder)!r})\n{script}"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_whole_torchvision_is_left_alone(tmp_path: Path) -> None:
    # It brings one operator of its own; another would have been declared beside it.
    [line] = run(SCRIPT, tmp_path, "loaded = True\n" + WHOLE.format(name="nms"))
    assert line == "[False, False, False, False] True False"


def test_missing_operators_are_declared_and_told_once(tmp_path: Path) -> None:
    line, warning = run(SCRIPT, tmp_path, LACKING)
    assert line == "[True, True, True, True] True True"
    assert warning.startswith("UserWarning torchvision was built for another PyTorch")
    assert "install torchvision from the package index that torch came from" in warning


@pytest.mark.parametrize("broken", [MISFIT, UNKNOWN])
def test_a_torchvision_that_is_broken_otherwise_is_refused(tmp_path: Path, broken: str) -> None:
    lines = run(REFUSAL, tmp_path, broken)
    assert len(lines) == 2
    assert all(line.startswith("torchvision does not fit the installed PyTorch (") for line in lines)


def test_an_absent_torchvision_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError):
        import_torchvision()


LAZY = """
import sys
import promptsr, promptsr.cli, promptsr.zoo.load
heavy = {"spandrel", "torchvision", "onnx", "onnxruntime", "pandas"}
promptsr.zoo.load.list_models()
promptsr.load_model("promptsr-tiny-x4")
print(sorted(heavy & set(sys.modules)))
"""


def test_nothing_of_this_is_imported_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
