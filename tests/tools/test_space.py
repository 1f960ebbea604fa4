"""The folder that `make space` writes: what its builders read, and that it serves visitors without a login."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import huggingface_hub.constants as settings
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from benchmarks.served import answers, free_port
from promptsr.support.errors import UserError
from tests.test_house import PINS, PROJECT
from tools.space import write_space
from workbench.server.limits import PUBLIC

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {str(name): str(version) for name, version in PINS.items()}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_space(folder := tmp_path_factory.mktemp("space"))
    return folder


def test_the_header_is_that_of_a_gradio_space(space: Path) -> None:
    header = SpaceCard.load(space / "README.md").data.to_dict()
    assert (header["sdk"], header["sdk_version"]) == ("gradio", VERSIONS["gradio"])
    assert (space / header["app_file"]).is_file()
    assert f">={header['python_version']}" == PROJECT["requires-python"]
    assert header["license"] == PROJECT["license"].lower()
    assert len(header["short_description"]) <= 60  # the Hub's limit


def test_all_that_the_page_needs_is_pinned(space: Path) -> None:
    index, *lines = (space / "requirements.txt").read_text().splitlines()
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    pins = dict(line.split("==") for line in lines)
    assert pins.pop("torch") == f"{VERSIONS['torch']}+cpu"
    assert pins == {name: VERSIONS[name] for name in pins}
    extras = PROJECT["optional-dependencies"]
    direct = [*PROJECT["dependencies"], *(line for name in ("cli", "analysis", "hub", "app") for line in extras[name])]
    names = {str(canonicalize_name(Requirement(line).name)) for line in direct} - {"promptsr", "torch"}
    assert names | {"starlette", "sympy", "httpx2"} <= set(pins)  # the last ones are needed by others
    assert not {"lightning-fabric", "pytest", "jupyterlab", "onnx"} & set(pins)


def test_the_dockerfile_serves_the_same_as_no_root(space: Path) -> None:
    text = re.sub(r"\\\n", "", (space / "Dockerfile").read_text())
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    words = [word for word, _ in steps]
    python = SpaceCard.load(space / "README.md").data.to_dict()["python_version"]
    assert re.fullmatch(rf"python:{re.escape(python)}\.\d+-slim-\w+", dict(steps)["FROM"])
    assert dict(steps)["EXPOSE"] == "7860" and "GRADIO_SERVER_PORT=7860" in dict(steps)["ENV"]
    assert words[-1] == "CMD" and ast.literal_eval(dict(steps)["CMD"]) == ["python", "app.py"]
    assert dict(steps)["USER"] == "visitor" and words.index("USER") > max(i for i, w in enumerate(words) if w == "COPY")
    installs = [value for word, value in steps if word == "RUN" and "pip install" in value]
    assert installs == ["pip install --no-cache-dir --requirement requirements.txt"]
    for source in [value.split()[0] for word, value in steps if word == "COPY"]:
        assert (space / source).exists()


def test_nothing_is_replaced(space: Path, tmp_path: Path) -> None:
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already: remove it, or name another folder"):
        write_space(tmp_path / "space")
    assert os.listdir(tmp_path / "space") == ["notes.txt"]


@pytest.fixture(scope="module")
def url(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As a Space starts it: `python app.py` in the folder, here with the packages of this environment."""
    port, cache = free_port(), tmp_path_factory.mktemp("cache")
    (space / "models").mkdir()
    shutil.copy(ROOT / "promptsr" / "weights" / "promptsr-tiny-x2.safetensors", space / "models" / "mine.safetensors")
    before = {path for path in space.rglob("*") if path.is_file()}
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PROMPTSR_USERS", "PROMPTSR_MODELS")
    }
    environment |= {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(cache),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with (cache / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=space, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        assert answers(f"http://127.0.0.1:{port}", process), (cache / "log.txt").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert "Traceback" not in (cache / "log.txt").read_text()
    assert {path for path in space.rglob("*") if path.is_file()} == before  # a read-only folder will do


@pytest.mark.slow
def test_it_serves_visitors_without_a_login(
    space: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HF_HUB_DISABLE_TELEMETRY", True)  # of Gradio's client
    code = (
        "import analysis, promptsr, workbench as w; print(analysis.__file__, promptsr.__file__, w.__file__, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=space, capture_output=True, text=True, check=True)
    assert all(Path(line).is_relative_to(space) for line in done.stdout.splitlines())  # not those of the checkout
    assert httpx.get(url, timeout=30).status_code == 200
    config = httpx.get(f"{url}/config", timeout=30).json()
    parts = {each["props"].get("elem_id"): each["props"] for each in config["components"]}
    assert any("mine" in choice for choice in parts["upscale-model"]["choices"])
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(tmp_path / "photo.png")
    client = Client(url, verbose=False, analytics_enabled=False, download_files=tmp_path)
    found = client.predict(handle_file(tmp_path / "photo.png"), "mine", "bicubic", "auto", "PNG", api_name="/upscale")
    client.close()
    paths = [value for value in found if isinstance(value, str) and value.endswith(".png") and Path(value).is_file()]
    assert (48, 32) in [Image.open(path).size for path in paths]


@pytest.mark.slow
def test_its_limits_are_those_for_the_public(url: str) -> None:
    assert PUBLIC.upload_bytes
    files = {"files": ("photo.png", bytes(PUBLIC.upload_bytes + 1))}
    assert httpx.post(f"{url}/gradio_api/upload", files=files, timeout=60).status_code == 413
