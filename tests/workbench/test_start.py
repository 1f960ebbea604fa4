"""From the command to a page that answers: only what is needed is loaded, and only the address is printed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from gradio_client import Client  # type: ignore[import-untyped]
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


@pytest.fixture
def compact(tmp_path: Path) -> dict[str, str]:
    """Environment with a folder of models, whose one network is read by spandrel, and was never read before."""
    models = tmp_path / "models"
    models.mkdir()
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 3 * 4**2, 3, padding=1))
    torch.save({f"body.{key}": value for key, value in network.state_dict().items()}, models / "compact.pth")
    return {OWN_MODELS: str(models), "PROMPTSR_CACHE": str(tmp_path / "cache")}


def test_the_page_is_built_without_what_it_needs_later(compact: dict[str, str]) -> None:
    program = """import sys, workbench.page as page
page.models.postpone_reading()  # as `launch` does
page.build()
print(*sys.modules)"""
    command, environment = [sys.executable, "-c", program], os.environ | compact
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "gradio.mcp" in loaded and "torch" in loaded
    assert [name for name in LATE if name in loaded] == []
    assert done.stderr == ""


def test_an_event_ends_while_another_imports_pyplot(compact: dict[str, str]) -> None:
    program = """import sys, types, gradio, workbench.page as page
def stop(public): raise KeyboardInterrupt
page.build = stop
try:
    page.launch()
except KeyboardInterrupt:
    sys.modules["matplotlib.pyplot"] = types.ModuleType("matplotlib.pyplot")  # as far as another thread is
    with gradio.utils.MatplotlibBackendMananger():
        print("ended")"""
    command, environment = [sys.executable, "-c", program], os.environ | compact | {"MPLBACKEND": "Agg"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_the_console_shows_the_address_alone(tmp_path: Path, compact: dict[str, str]) -> None:
    """Though spandrel imports a torchvision that may be incomplete."""
    with served.serving(tmp_path, *COMMAND, **compact) as workbench:
        patience = time.monotonic() + 60
        while not workbench.log.endswith("\n") and time.monotonic() < patience:  # it answers before it says so
            time.sleep(0.1)
        client = Client(workbench.url, verbose=False, analytics_enabled=False)
        assert "compact" in [row["name"] for row in client.predict(api_name="/models")]
        client.close()
        assert workbench.log == f"The workbench is at {workbench.url}/\n"
