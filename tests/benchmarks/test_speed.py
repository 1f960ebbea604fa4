"""The benchmark of speed: what it writes, and that its figures follow from what it measured."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analysis.complexity import paper_networks
from benchmarks import contenders, fresh_process, speed
from benchmarks.contenders import Contender
from benchmarks.passes import Settings, forward_pass
from benchmarks.report import warn_if_busy
from promptsr import kernels
from promptsr.complexity.counting import count
from promptsr.support.errors import ConfigError, UserError
from tests.benchmarks.conftest import ROOT, Invoke, Start

COLUMNS = "model,height,width,threads,device,dtype,seconds,peak_mb,ratio_to_promptsr,share_of_matmul_peak"


def test_the_contract(start: Start) -> None:
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.glob("speed.*")}
    models = ("imdn", "promptsr-x4", "promptsr-tiny-x4")
    arguments = ["--sizes", "16x24", "--models", ",".join(models), "--threads", "1", "--repeats", "1", "--json", "-"]
    done = start("speed.py", *arguments)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)  # nothing else is printed there
    assert list(content) == ["rows"]
    rows = content["rows"]
    assert [list(row) for row in rows] == [COLUMNS.split(",")] * 3
    assert [(row["model"], row["height"], row["width"]) for row in rows] == [(name, 16, 24) for name in models]
    assert {(row["threads"], row["device"], row["dtype"]) for row in rows} == {(1, "cpu", "float32")}
    ours = rows[1]["seconds"]
    assert rows[1]["ratio_to_promptsr"] == 1
    for row in rows:
        assert row["ratio_to_promptsr"] * ours == pytest.approx(row["seconds"], rel=1e-5)
        assert row["seconds"] > 0 and row["peak_mb"] > 100  # Python and torch alone
    # Multiply-adds over seconds and share give the same peak for every row of a run.
    peaks = []
    for row in rows:
        contender = contenders.build(row["model"])
        assert contender is not None
        speed_of_row = count(contender.network, 16, 24).multiply_adds / row["seconds"]
        peaks.append(speed_of_row / row["share_of_matmul_peak"])
    assert peaks == pytest.approx([peaks[0]] * 3, rel=1e-4)
    assert {path: path.stat().st_mtime_ns for path in results.glob("speed.*")} == before


class Layer(nn.Module):
    """A convolution: 81 multiply-adds a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(image)
        return result


@pytest.mark.parametrize(("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_every_pass_sees_the_same_image(dtype: str, expected: torch.dtype) -> None:
    network, images, results = Layer(), [], []

    def look(_module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        images.append(inputs[0].clone())
        results.append(output)
        inputs[0].zero_()  # as RCAN writes into its input

    network.register_forward_hook(look)
    for contender in (Contender("one", network), Contender("other", network)):
        once = forward_pass(contender, 5, 7, Settings(1, dtype=dtype))
        once()
        once()
    assert [image.shape for image in images] == [(1, 3, 5, 7)] * 4 and images[0].any()
    assert all(image.equal(images[0]) for image in images)
    assert {(result.dtype, result.is_inference()) for result in results} == {(expected, True)}


def test_figures_follow_from_what_the_clock_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"imdn": [100.0, 6.0, 8.0, 7.0], "promptsr-x4": [100.0, 3.0, 1.0, 2.0]}  # the first run does not count
    products = iter([0.5] * 11 + [0.25] + [0.5] * 20)
    order = []

    def planted_pass(contender: Contender, *_: object) -> Callable[[], float]:
        def once() -> float:
            order.append(contender.name)
            return seconds[contender.name].pop(0)

        return once

    monkeypatch.setattr(speed, "build", lambda name: Contender(name, Layer()))
    monkeypatch.setattr(speed, "forward_pass", planted_pass)
    monkeypatch.setattr(speed, "matrix_product", lambda _: lambda: next(products))
    monkeypatch.setattr(speed, "clock", lambda run: run())
    monkeypatch.setattr(fresh_process, "measure", lambda *_: fresh_process.Memory(10**6, 2 * 10**6, 40 * 10**6))
    rows, peak = speed.measure(["imdn"], [(20, 30)], Settings(1), 3)

    assert order == ["imdn", "promptsr-x4"] * 4  # in turns; the reference is timed although it is not listed
    assert peak == 2048**3 / 0.25
    [row] = rows
    assert (row.model, row.height, row.width, row.seconds, row.peak_mb) == ("imdn", 20, 30, 7, 40)
    assert row.ratio_to_promptsr == 3.5
    assert row.share_of_matmul_peak == pytest.approx(81 * 20 * 30 / 7 / peak, rel=1e-5)


def test_a_network_that_fails_is_named() -> None:
    def fail() -> None:
        raise RuntimeError("Output size is too small")

    with pytest.raises(UserError, match=r"omnisr failed on 9 x 8 .*Output size is too small.*: choose another size"):
        speed.in_turns({"omnisr": fail}, 1, "9 x 8")


def test_files_of_a_full_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    """Results, or with --json the rows alone."""
    slow = speed.Row("imdn", 9, 8, 1, "cpu", "float32", 0.5, 300.5, 2.0, 0.4)
    fast = speed.Row("promptsr-x4", 9, 8, 1, "cpu", "float32", 0.25, 200.0, 1.0, 0.5)
    monkeypatch.setattr(speed, "measure", lambda *_: ([slow, fast], 8e9))
    results, target = tmp_path / "results", tmp_path / "rows.json"
    invoke(speed.app, "--output", results, "--json", target)
    assert json.loads(target.read_text()) == {"rows": [asdict(slow), asdict(fast)]}
    assert not results.exists()
    invoke(speed.app, "--output", results, "--threads", 1)
    lines = (results / "speed.csv").read_text().splitlines()
    assert lines == [COLUMNS, "imdn,9,8,1,cpu,float32,0.5,300.5,2.0,0.4", lines[2]]
    text = (results / "speed.md").read_text()
    assert "python benchmarks/speed.py" in text and "8.0G multiply-adds" in text and torch.__version__ in text
    first, second = "| promptsr-x4 | 0.250 | 1.00 | 200 | 50 % |", "| imdn | 0.500 | 2.00 | 300 | 40 % |"
    assert 0 < text.index(first) < text.index(second)
    assert (results / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_model_is_refused_in_one_sentence(start: Start) -> None:
    done = start("speed.py", "--models", "promptsr-x4,nonsense", "--json", "-")
    assert done.returncode == 2 and done.stdout == ""
    assert re.match(r"Error: Unknown model 'nonsense': choose among the peers omnisr, .*\.\n\Z", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"models": "promptsr-x5"}, "'promptsr-x5'"),
        ({"models": ""}, "Unknown model ''"),
        ({"sizes": "128"}, "--sizes takes HEIGHTxWIDTH"),
        ({"sizes": "0x8"}, "--sizes takes HEIGHTxWIDTH"),
        ({"device": "tpu"}, "--device must be cpu or cuda"),
        ({"dtype": "int8"}, "--dtype must be float32 or bfloat16"),
        ({"threads": -1}, "--threads must be at least 1"),
    ],
)
def test_what_it_does_not_know_it_refuses(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        speed.speed(**arguments)


def test_networks_by_name() -> None:
    sizes = {
        "promptsr-x4": 872_088,
        "promptsr-x4-torch": 872_088,
        "craft": 753_344,
        "dat-light": 572_766,  # its authors print 573K
        "safmn": 239_520,  # its authors print 240K
        "omnisr": 805_376,
    }
    for name, size in sizes.items():
        contender = contenders.build(name)
        if contender is None:
            assert not paper_networks.has_spandrel() and not name.startswith("promptsr")
            continue
        assert contender.name == name and not contender.network.training
        assert sum(parameter.numel() for parameter in contender.network.parameters()) == size
        with contender.running():
            assert name != "promptsr-x4-torch" or kernels.why_not() is not None


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(contenders, "has_spandrel", lambda: False)
    monkeypatch.setattr(paper_networks, "has_spandrel", lambda: False)
    with pytest.raises(ConfigError, match="Nothing of craft, omnisr can be built"):
        speed.measure(["craft", "omnisr"], [(8, 8)], Settings(1), 1)
    skipped = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in skipped] == ["craft", "omnisr"]
    assert all('pip install -e ".[peers]"' in line for line in skipped)


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.2, 0.0, 0.0))
    warn_if_busy(2)
    assert capsys.readouterr().err == ""
    warn_if_busy(4)
    assert "2.2 on 4 cores" in capsys.readouterr().err
