"""Peers: against their definitions, against the scores of their authors' weights, and refusals."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import Evaluation, evaluate
from promptsr.zoo.load import load_model
from promptsr.zoo.peers.hpinet import HPINet
from promptsr.zoo.peers.imdn import IMDN
from promptsr.zoo.peers.smfanet import SMFANet
from promptsr.zoo.sr_model import SRModel
from tests.zoo.conftest import refused
from tests.zoo.peers.conftest import ORIGINALS, State

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")

NETWORKS: dict[str, type[nn.Module]] = {"imdn": IMDN, "smfanet": SMFANet, "hpinet": HPINet}
MIN_TILES = {"imdn": 1, "smfanet": 8, "hpinet": 24}
CHECKPOINTS = {
    "imdn/IMDN_x4.pth": (32.211, 715_176),
    "smfanet/SMFANet_plus_DIV2K_100w_x4SR.pth": (32.438, 495_888),
    "hpinet/HPINet-M-x4.pth": (32.625, 895_659),
    "craft/CRAFT-x4.pth": (32.422, 753_344),  # through spandrel
}
"""PSNR-Y on Set5 that the networks' original code measured, and their numbers of parameters."""

DEFINED = [
    (name, scale, size)
    for name in NETWORKS
    for scale, size in [(2, (24, 24)), (3, (35, 19)), (4, (26, 47)), (2, (1, 1)), (3, (2, 13)), (4, (25, 3))]
    if name != "smfanet" or min(size) >= 8  # the original needs 8 pixels a side
]
every_network = pytest.mark.parametrize("name", NETWORKS)
sides = st.integers(1, 30)


def publish(name: str, state: State, path: Path) -> Path:
    """Saves weights the way the authors did."""
    torch.save({"params": state} if name == "smfanet" else {f"module.{key}": v for key, v in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SRModel]:
    """Each network at x2 with random weights, read from a file."""
    folder = tmp_path_factory.mktemp("models")
    return {name: load_model(publish(name, ORIGINALS[name][0](2), folder / f"{name}.pth")) for name in NETWORKS}


def picture(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, height, width), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("name", "scale", "size"), DEFINED)
def test_a_network_is_what_its_definition_says(tmp_path: Path, name: str, scale: int, size: tuple[int, int]) -> None:
    weights, forward = ORIGINALS[name]
    state = weights(scale)
    model = load_model(publish(name, state, tmp_path / f"some.{name}.pth"))
    assert (model.name, model.scale, model.min_tile) == (f"some.{name}", scale, MIN_TILES[name])
    assert type(model.network) is NETWORKS[name] and not model.network.training
    assert model.parameters == sum(value.numel() for value in state.values())
    image = picture(1, *size)
    rounded = {key: value.float().double() for key, value in state.items()}  # the network holds single precision
    expected = forward(rounded, scale, image)
    torch.testing.assert_close(model.network.double()(image), expected, rtol=1e-7, atol=1e-9)


@every_network
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(batch=st.integers(1, 3), height=sides, width=sides, seed=st.integers(0, 99))
@example(batch=2, height=1, width=1, seed=0)
@example(batch=3, height=7, width=25, seed=1)
@example(batch=2, height=29, width=27, seed=2)
def test_a_batch_gives_what_each_image_alone_gives(
    models: dict[str, SRModel], name: str, batch: int, height: int, width: int, seed: int
) -> None:
    network = models[name].network.double()
    images = picture(batch, height, width, seed)
    together = network(images)
    assert together.shape == (batch, 3, 2 * height, 2 * width) and bool(together.isfinite().all())
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-7, atol=1e-7 * float(alone.abs().max()))


@every_network
@pytest.mark.parametrize("side", [1, 14])
def test_gradients_reach_even_a_black_image(models: dict[str, SRModel], name: str, side: int) -> None:
    image = torch.zeros(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    models[name].network.double()(image).square().sum().backward()
    assert image.grad is not None and bool(image.grad.isfinite().all()) and float(image.grad.abs().sum()) > 0


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo executed",)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_could_run_code_is_not_opened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], zipped: bool
) -> None:
    for name, content in (("bomb.pth", {"encoder": Bomb()}), ("module.pth", nn.Linear(3, 3))):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        assert "could run code, so it was not opened" in refused(tmp_path / name)
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "program.pt")
    assert "could run code, so it was not opened" in refused(tmp_path / "program.pt")
    assert "executed" not in capfd.readouterr().out


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "cut.pth"
    torch.save(ORIGINALS["imdn"][0](2), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for kept in (0, 1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        assert "is truncated or not a PyTorch file" in refused(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    state = ORIGINALS["imdn"][0](2)
    lacking = {key: value for key, value in state.items() if key != "IMDB6.c5.bias"}
    misfit = {**state, "LR_conv.bias": torch.zeros(63)}
    extra = {**state, "more": torch.zeros(1)}
    eight = {**state, "upsampler.0.weight": torch.zeros(192, 64, 3, 3), "upsampler.0.bias": torch.zeros(192)}
    for content in (lacking, misfit, extra, eight, {}, {"params": 3}, {1: torch.zeros(1)}, [1, 2], torch.zeros(2)):
        torch.save(content, tmp_path / "foreign.pth")
        assert "none of the networks known here: choose a checkpoint of IMDN" in refused(tmp_path / "foreign.pth")
    torch.save({**state, "c.0.bias": state["c.0.bias"].to_sparse()}, tmp_path / "sparse.pth")
    assert "save it with dense float tensors" in refused(tmp_path / "sparse.pth")
    (tmp_path / "text.PTH").write_text("hello world, no weights here")
    assert "not a PyTorch file" in refused(tmp_path / "text.PTH")
    (tmp_path / "folder.pth").mkdir()
    for missing in ("folder.pth", "nothing.pth"):
        assert "There is no weights file" in refused(tmp_path / missing)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_the_authors_weights_score_what_they_should(shared_data: Path, checkpoint: str) -> None:
    path = shared_data / "peers" / checkpoint
    if not path.is_file():
        pytest.skip(f"no checkpoint {checkpoint} in the shared folder")
    model = load_model(path)
    bench = shared_data / "data" / "bench" / "Set5" / "x4"
    images = list(evaluate(model, find_pairs(bench / "HR", bench / "LR")))
    expected, parameters = CHECKPOINTS[checkpoint]
    assert (model.name, model.scale, model.parameters) == (path.stem, 4, parameters)
    assert len(images) == 5
    assert Evaluation(model.name, 4, images).psnr_y == pytest.approx(expected, abs=0.01)
