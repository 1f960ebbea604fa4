"""Networks in ONNX files, built by hand, and a folder of one's own models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.sessions import models

FREE = ("N", 3, "H", "W")
NEAREST = helper.make_node(
    "Resize",
    ["image", "", "scales"],
    ["result"],
    mode="nearest",
    nearest_mode="floor",
    coordinate_transformation_mode="asymmetric",
)
SCALES = np.array([1, 1, 3, 3], np.float32)


def write_onnx(
    path: Path | IO[bytes],
    nodes: Sequence[Any] = (NEAREST,),
    shape: tuple[Any, ...] = FREE,
    kind: int = TensorProto.FLOAT,
    **weights: np.ndarray,
) -> None:
    """Write a network with an input of this shape and type; by default nearest-neighbour interpolation, x3."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("result", kind, None)],
        [numpy_helper.from_array(values, name) for name, values in (weights or {"scales": SCALES}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of one's own models, for the page too."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("PROMPTSR_MODELS", str(folder))
    models._listing.cache_clear()
    yield folder
    models._listing.cache_clear()
