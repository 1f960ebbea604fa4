"""Torchvision complete, without its operators, broken and absent: each in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

from promptsr.zoo.adapters.torchvision_operators import import_torchvision

WHOLE = "import torch\nloaded = True\ntorch.library.define('torchvision::nms', '(Tensor x) -> Tensor')"
LACKING = """
import torch
import torchvision.leftover
torchvision.leftover.__name__
torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets)
torch.library.register_fake("torchvision::qnms")(lambda dets, scores, iou_threshold: dets)
loaded = True
"""
"""Fails at its import as the real one does: it describes operators that its library did not bring."""
MISFIT = "raise RuntimeError('PyTorch has CUDA Version=13.0 and torchvision has CUDA Version=12.8.')"
UNKNOWN = "raise RuntimeError('operator torchvision::other does not exist')"

SCRIPT = """
import sys, threading, warnings
sys.path.insert(0, sys.argv[1])
from promptsr.support.errors import UserError
from promptsr.zoo.adapters.torchvision_operators import import_torchvision

refusals = []

def work():
    try:
        import_torchvision()
    except UserError as error:
        refusals.append(error)

with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
import torch
for error in refusals:
    print(error)
print(getattr(sys.modules.get("torchvision"), "loaded", None), hasattr(torch.ops.torchvision, "qnms"))
for warning in seen:
    print(warning.category.__name__, warning.message)
"""


def run(folder: Path, torchvision: str) -> list[str]:
    """Import this torchvision in four threads at once, and return the lines that tell how that went."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(torchvision)
    (package / "leftover.py").write_text("")
    done = subprocess.run([sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_whole_torchvision_is_left_alone(tmp_path: Path) -> None:
    # It brings one operator of its own; another would have been declared beside it.
    assert run(tmp_path, WHOLE) == ["True False"]


def test_missing_operators_are_declared_and_told_once(tmp_path: Path) -> None:
    line, warning = run(tmp_path, LACKING)
    assert line == "True True"
    assert warning.startswith("UserWarning torchvision was built for another PyTorch")
    assert "install torchvision from the package index that torch came from" in warning


@pytest.mark.parametrize("broken", [MISFIT, UNKNOWN])
def test_a_torchvision_that_is_broken_otherwise_is_refused(tmp_path: Path, broken: str) -> None:
    *refusals, _ = run(tmp_path, broken)
    assert len(refusals) == 4
    assert all(line.startswith("torchvision does not fit the installed PyTorch (") for line in refusals)


def test_an_absent_torchvision_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError):
        import_torchvision()


def test_nothing_of_this_is_imported_before_it_is_needed() -> None:
    program = """
import sys
import promptsr, promptsr.cli, promptsr.zoo.load
promptsr.zoo.load.list_models()
promptsr.load_model("promptsr-tiny-x4")
print(sorted({"spandrel", "torchvision", "onnx", "onnxruntime", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
