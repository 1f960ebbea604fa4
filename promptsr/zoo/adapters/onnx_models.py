"""Load networks in ONNX files, which onnxruntime runs on the CPU."""

import hashlib
import importlib.util
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.adapters.probing import find_scale
from promptsr.zoo.sr_model import SRModel
from promptsr.zoo.tensor_files import check_there

_BYTES_PER_PIXEL = 32768
"""A cautious guess: onnxruntime does not tell its memory."""
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def load_onnx(path: Path) -> SRModel:
    """Load the model in a file, named by the file's stem. It stays on the CPU, and has no gradients.

    Its one input must be float32 or float16 of 1 x 3 x H x W or N x 3 x H x W with free H and W, in [0, 1].

    Raises:
        CheckpointError: the file is missing or damaged, takes something else, is no super-resolution network, or
            onnxruntime is not installed.
    """
    check_there(path)
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        raise CheckpointError(f"{path} needs onnxruntime: install it with `pip install onnxruntime onnx`.")
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # its errors come as exceptions as well
    try:
        graph = onnx.load(path, load_external_data=False).graph
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # protobuf and onnxruntime have many types for this
        raise CheckpointError(
            f"{path} is damaged, or made for another version of onnxruntime: export it again, with opset 17."
        ) from error
    _check_input(path, session)
    network = OnnxNetwork(path.stem, session, hashlib.sha256(path.read_bytes()).hexdigest())
    stored = sum(
        math.prod(weights.dims) for weights in graph.initializer if weights.data_type in OnnxNetwork.WEIGHT_TYPES
    )
    return SRModel(
        path.stem,
        find_scale(str(path), network),
        network,
        bytes_per_pixel=_BYTES_PER_PIXEL,
        differentiable=False,
        parameter_count=stored,
    )


def _check_input(path: Path, session: Any) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _FLOATS or len(inputs[0].shape) != 4:
        found = ", ".join(f"{i.type} of {' x '.join(map(str, i.shape))}" for i in inputs) or "nothing"
        raise CheckpointError(f"{path} takes {found}: it must take one float tensor of N x 3 x H x W.")
    _, channels, height, width = inputs[0].shape
    if isinstance(channels, int) and channels != 3:
        raise CheckpointError(f"{path} takes images of {channels} channels: choose a network for RGB images.")
    if isinstance(height, int) or isinstance(width, int):
        raise CheckpointError(
            f"{path} takes images of one size only ({width} x {height}): export it with dynamic axes, as in "
            '`torch.onnx.export(..., dynamic_axes={"input": {2: "height", 3: "width"}})`.'
        )


class OnnxNetwork(nn.Module):
    """A session of onnxruntime; computes on the CPU, whatever device its input is on, without gradients."""

    WEIGHT_TYPES: ClassVar[set[int]] = {1, 2, 3, 10, 11, 16}
    """Float, uint8, int8, float16, double and bfloat16 in ONNX's numbering; wider integers are shapes and indices."""

    def __init__(self, name: str, session: Any, digest: str) -> None:
        super().__init__()
        self._name = name
        self._session = session
        self._digest = digest
        [described] = session.get_inputs()
        self._input: str = described.name
        self._dtype = _FLOATS[described.type]
        self._one_by_one = described.shape[0] == 1

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped.

        Raises:
            UserError: gradients are asked for, the image holds no values (device "meta"), or the network fails.
        """
        if image.requires_grad and torch.is_grad_enabled():
            raise UserError(f"{self._name} is an ONNX file, which has no gradients: choose a PyTorch checkpoint.")
        if image.is_meta:
            raise UserError(f"{self._name} is an ONNX file, which has no layers to count: choose a PyTorch checkpoint.")
        batch = image.detach().cpu().numpy().astype(self._dtype)
        parts = np.split(batch, len(batch)) if self._one_by_one else [batch]
        try:
            outputs = [self._session.run(None, {self._input: part})[0] for part in parts]
        except Exception as error:  # onnxruntime has many types for this
            height, width = image.shape[2:]
            raise UserError(
                f"{self._name} failed on an image of {width} x {height} pixels: export it with dynamic height and "
                "width, and without shapes that were fixed by the example."
            ) from error
        return torch.from_numpy(np.concatenate(outputs)).to(image)

    def __deepcopy__(self, _memo: dict[int, Any]) -> "OnnxNetwork":
        """Return itself: a session never changes, and cannot be copied."""
        return self

    def extra_repr(self) -> str:
        """Return the digest of the file, since `state_dict` does not hold the weights."""
        return f"sha256={self._digest}"

    def _get_name(self) -> str:
        return "ONNX"
