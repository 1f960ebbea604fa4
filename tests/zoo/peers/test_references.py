"""Peers of the paper's tables: against what their authors' code made of fixed images, and against its scores."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import Evaluation, evaluate
from promptsr.zoo.load import load_model
from promptsr.zoo.peers.camixersr import Mixer
from promptsr.zoo.sr_model import SRModel
from tests.support.kernels import threads
from tests.zoo.conftest import refused

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")


@dataclass(frozen=True)
class Case:
    """A checkpoint, and what the authors' network makes of two images with it."""

    file: str
    """In the shared folder; with `@x3` where it holds several scales."""
    vectors: str
    architecture: str
    scale: int
    parameters: int
    """As the authors count them; without colour means that are not trained."""
    set5: float | None = None
    """PSNR-Y on Set5, measured with the authors' code; None for random weights."""


CARN, CARN_M, LATTICE = (1_591_939, 414_787, {2: 756_196, 3: 764_851, 4: 776_968})
CASES = [
    *(
        Case(f"peers/carn/carn_m.pth@x{s}", f"carn_m/carn_m_x{s}", "CARN-M", s, CARN_M, psnr)
        for s, psnr in ((2, 37.682), (3, 34.061), (4, 31.885))
    ),
    *(Case(f"reference/carn/carn_x4.pth@x{s}", f"carn/carn_x{s}", "CARN", s, CARN) for s in (2, 4)),
    Case("peers/carn/carn_genuine_x2only.pth", "carn/carn_genuine_x2only", "CARN", 2, 964_163, 37.886),
    *(
        Case(f"peers/latticenet/LatticeNet_x{s}.pt", f"latticenet/latticenet_x{s}", "LatticeNet", s, LATTICE[s], psnr)
        for s, psnr in ((2, 38.063), (3, 34.401), (4, 32.181))
    ),
    Case("peers/lapar/LAPAR_A_x2.pth", "lapar/lapar_a_x2", "LAPAR", 2, 547_866, 37.984),
    Case("peers/lapar/LAPAR_A_x4.pth", "lapar/lapar_a_x4", "LAPAR", 4, 659_226, 32.151),
    Case("reference/lapar/lapar_a_x3.pth", "lapar/lapar_a_x3", "LAPAR", 3, 260_732),
    Case(
        "peers/elan/ELAN-light_LSR_x4_unofficial.pth", "elan_light/elan_light_unofficial_x4", "ELAN", 4, 601_488, 32.440
    ),
    Case("reference/elan_light/elan_light_x4.pth", "elan_light/elan_light_x4", "ELAN", 4, 123_288),
    *(
        Case(f"peers/idn/IDN_x{s}.caffemodel", f"idn/idn_x{s}", "IDN", s, 552_769, psnr)
        for s, psnr in ((2, 37.843), (3, 34.121), (4, 31.815))
    ),
    *(
        Case(f"reference/{folder}/{name}.pth", f"{folder}/{name}", architecture, scale, parameters)
        for folder, name, architecture, scale, parameters in (
            ("shufflemixer", "shufflemixer_tiny_x2", "ShuffleMixer", 2, 26_451),
            ("shufflemixer", "shufflemixer_x3", "ShuffleMixer", 3, 115_667),
            ("shufflemixer", "shufflemixer_x4", "ShuffleMixer", 4, 410_579),
            ("swinirng", "swinirng_x4", "SwinIRNG", 4, 251_610),
            ("spin", "spin_x2", "SPIN", 2, 114_627),
            ("spin", "spin_x4", "SPIN", 4, 281_715),
            ("camixersr", "camixersr_x4", "CAMixerSR", 4, 171_553),
            ("mambair_light", "mambair_light_x4", "MambaIR", 4, 217_056),
            ("san", "san_x4", "SAN", 4, 178_674),
            ("nlsn", "nlsn_x4", "NLSN", 4, 145_743),
        )
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.vectors)


def load(folder: Path, case: Case) -> SRModel:
    """Loads the model of a case, or skips the test where its file is missing."""
    if not (folder / case.file.partition("@")[0]).is_file():
        pytest.skip(f"no {case.file} in the shared folder")
    return load_model(folder / case.file)


def vectors(folder: Path, name: str) -> dict[str, Tensor]:
    with np.load(folder / "reference" / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def assert_agrees(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@every_case
def test_a_network_makes_what_its_authors_code_makes(shared_data: Path, case: Case) -> None:
    model = load(shared_data, case)
    assert (model.architecture, model.scale, model.parameters) == (case.architecture, case.scale, case.parameters)
    expected = vectors(shared_data, case.vectors)
    # Rounding is that of one thread: ELAN's reference differs by 6e-5 from its network in double precision.
    with threads(1):
        for image, result in (("lr", "sr"), ("lr2", "sr2")):
            assert_agrees(model(expected[image]), expected[result])


@pytest.mark.parametrize("case", [case for case in CASES if case.set5], ids=lambda case: case.vectors)
def test_genuine_weights_score_what_they_score_with_their_authors_code(shared_data: Path, case: Case) -> None:
    model, bench = load(shared_data, case), shared_data / "data" / "bench" / "Set5" / f"x{case.scale}"
    images = list(evaluate(model, find_pairs(bench / "HR", bench / "LR")))
    assert len(images) == 5
    assert Evaluation(model.name, case.scale, images).psnr_y == pytest.approx(case.set5, abs=0.005)


def test_camixersr_with_attention_everywhere(shared_data: Path) -> None:
    case = next(case for case in CASES if case.architecture == "CAMixerSR")
    model, expected = load(shared_data, case), vectors(shared_data, case.vectors)
    for part in model.network.modules():
        if isinstance(part, Mixer):
            part.ratio = 1
    assert_agrees(model(expected["lr"]), expected["sr_ratio1"])


def test_swinir_ng_with_the_tables_of_its_training_code(shared_data: Path, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.architecture == "SwinIRNG")
    load(shared_data, case)
    state = torch.load(shared_data / case.file, map_location="cpu")
    tables = {name.replace("qkv.bias", "relative_position_index"): torch.zeros(1) for name in state if "qkv.b" in name}
    torch.save({**state, **tables, "layers.0.residual_group.blocks.1.attn_mask": torch.zeros(1)}, tmp_path / "full.pth")
    assert load_model(tmp_path / "full.pth").parameters == case.parameters


DAMAGED = {case.architecture: case for case in CASES if case.architecture != "IDN"}


@pytest.mark.parametrize("name", DAMAGED)
def test_files_that_resemble_a_network_are_refused(shared_data: Path, tmp_path: Path, name: str) -> None:
    load(shared_data, DAMAGED[name])
    source = shared_data / DAMAGED[name].file.partition("@")[0]
    content = torch.load(source, map_location="cpu")
    state = next((content[key] for key in ("params", "model_state_dict") if key in content), content)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    first, *_, last = state
    tail = next(key for key in reversed(state) if state[key].ndim == 4 and not key.startswith(("add", "sub")))
    for changed in (
        {key: value for key, value in state.items() if key != last},
        {**state, first: torch.zeros(0)},
        {**state, "more.bias": torch.zeros(1)},
        {**state, tail: state[tail].repeat(4, 1, 1, 1)},  # another scale
        {key: value.flatten() for key, value in state.items()},
        {key: torch.tensor(1.0) for key in state},
    ):
        torch.save(changed, tmp_path / "resembling.pth")
        assert "holds none of the networks known here" in refused(tmp_path / "resembling.pth")
    (tmp_path / "cut.pth").write_bytes(source.read_bytes()[:-999])
    assert "is truncated or not a PyTorch file" in refused(tmp_path / "cut.pth")
    if "@" not in DAMAGED[name].file:
        wrong = 2 if DAMAGED[name].scale == 3 else 3
        assert f"upscales x{DAMAGED[name].scale}, not x{wrong}" in refused(Path(f"{source}@x{wrong}"))


def test_srformer_goes_through_spandrels_extra_package(shared_data: Path) -> None:
    file = shared_data / "reference" / "srformer_light" / "srformer_light_x4.pth"
    if not file.is_file():
        pytest.skip("no checkpoint of SRFormer in the shared folder")
    if find_spec("spandrel_extra_arches") is None:
        assert "holds SRFormer: install the package that reads it with `pip install spandrel_ex" in refused(file)
        return
    model, expected = load_model(file), vectors(shared_data, "srformer_light/srformer_light_x4")
    for image, result in (("lr", "sr"), ("lr2", "sr2")):
        assert_agrees(model(expected[image]), expected[result])
