"""From the command to a page that answers: only what is needed is loaded, and only the address is printed."""

import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks import served
from promptsr.zoo.listing import OWN_MODELS

LATE = (
    "captum",
    "matplotlib.pyplot",
    "mcp",
    "scipy.ndimage",
    "scipy.stats",
    "skimage.segmentation",
    "sklearn",
    "spandrel",
)
"""Modules that take from a tenth of a second to two."""
COMMAND = (sys.executable, "-c", "from promptsr.cli import main; main()", "app", "--no-browser", "--port")


def test_the_page_is_built_without_what_it_needs_later() -> None:
    program = "import sys, workbench.page; workbench.page.build(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "gradio.mcp" in loaded and "torch" in loaded
    assert [name for name in LATE if name in loaded] == []
    assert done.stderr == ""


def test_the_console_shows_the_address_alone(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    # A network that spandrel reads, for which it imports a torchvision that may be incomplete.
    compact = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 3 * 4**2, 3, padding=1))
    torch.save({f"body.{key}": value for key, value in compact.state_dict().items()}, models / "compact.pth")
    environment = {OWN_MODELS: str(models), "PROMPTSR_CACHE": str(tmp_path / "cache")}
    with served.serving(tmp_path, *COMMAND, **environment) as workbench:
        patience = time.monotonic() + 60
        while not workbench.log.endswith("\n") and time.monotonic() < patience:  # it answers before it says so
            time.sleep(0.1)
        assert workbench.log == f"The workbench is at {workbench.url}/\n"
