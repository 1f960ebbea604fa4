"""Load networks in ONNX files, which onnxruntime runs on the CPU."""

import hashlib
import importlib.util
import itertools
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from promptsr.support.errors import CheckpointError, UserError
from promptsr.support.spans import spans
from promptsr.zoo.adapters.probing import PROBE, STEPS, describe, find_scale
from promptsr.zoo.formats import check_there
from promptsr.zoo.memory import is_out_of_memory
from promptsr.zoo.padding import pad
from promptsr.zoo.sr_model import SRModel

_BYTES_PER_PIXEL = 32768
"""A cautious guess: onnxruntime does not tell its memory."""
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MULTIPLES = (*range(1, 65), 72, 80, 96, 112, 128, 160, 192, 224, 256)
"""Multiples that the sides of images may have to be of, the smallest first."""
_SMALLEST = (1, 2, 4, 8, 16, 32, 64)
"""Sides in pixels to which an image of one pixel is padded, until the network takes it."""
_OVERLAP = 16
"""Input pixels that tiles of a fixed size share."""


def load_onnx(path: Path) -> SRModel:
    """Load the model in a file, named by the file's stem. It stays on the CPU, and has no gradients.

    Its one input must be float32 or float16 of N x 3 x H x W in [0, 1]. H and W may be free, or fixed by the export; if
    free, they may have to be multiples of a number, up to 256.

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
        stored = onnx.load(path, load_external_data=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # protobuf and onnxruntime have many types for this
        raise CheckpointError(
            f"{path} is damaged, or made for another version of onnxruntime: export it again, with opset 17."
        ) from error
    _check_input(path, session)
    network = OnnxNetwork(path.stem, session, hashlib.sha256(path.read_bytes()).hexdigest())
    network.settle(path)
    weights = (each for each in stored.graph.initializer if each.data_type in OnnxNetwork.WEIGHT_TYPES)
    height, width = network.fixed
    whole = (_memory_for_one_size(stored) or _BYTES_PER_PIXEL * height * width) if height and width else 0
    return SRModel(
        path.stem,
        network.scale,
        network,
        min_tile=max(network.minimum, network.multiple, height or 1, width or 1),
        max_tile=(height or sys.maxsize, width or sys.maxsize),
        bytes_per_pixel=0 if whole else _BYTES_PER_PIXEL,
        fixed_bytes=whole,
        size_multiple=network.multiple,
        differentiable=False,
        parameter_count=sum(math.prod(each.dims) for each in weights),
    )


def _check_input(path: Path, session: Any) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _FLOATS or len(inputs[0].shape) != 4:
        found = ", ".join(f"{i.type} of {' x '.join(map(str, i.shape))}" for i in inputs) or "nothing"
        raise CheckpointError(f"{path} takes {found}: it must take one float tensor of N x 3 x H x W.")
    if (channels := _fixed(inputs[0].shape[1])) not in (None, 3):
        raise CheckpointError(f"{path} takes images of {channels} channels: choose a network for RGB images.")


def _fixed(dimension: Any) -> int | None:
    """Return an extent that the export fixed; free ones have names, or none, or numbers below 1."""
    return dimension if isinstance(dimension, int) and dimension > 0 else None


def _memory_for_one_size(model: Any) -> int:
    """Estimate the working memory of a network whose file states the size of the image; 0 if it cannot be told."""
    import onnx

    with suppress(Exception):  # of a file that states too little, or contradicts itself
        graph = onnx.shape_inference.infer_shapes(model).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in values}
        steps = ((*node.input, *node.output) for node in graph.node)
        return STEPS * 4 * max(sum(math.prod(shapes.get(name, [0])) for name in step) for step in steps)
    return 0


class OnnxNetwork(nn.Module):
    """A session of onnxruntime for images of any size; computes on the CPU, without gradients.

    Images are padded to multiples, or to the size for which the file was exported; larger ones are cut into tiles of
    that size.
    """

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
        self._batch, _, *sides = map(_fixed, described.shape)
        self.fixed: tuple[int | None, int | None] = (sides[0], sides[1])
        """Height and width that the file was exported for; None if they are free."""
        self.scale = self.multiple = self.minimum = 1

    def settle(self, path: Path) -> None:
        """Find out the scale, and which multiples and which smallest side it needs, by running it on small images.

        Raises:
            CheckpointError: it takes none of them, or does not enlarge them.
        """
        grows = True

        def run(image: Tensor) -> Tensor:
            nonlocal grows
            output = self._run(image)
            # Perhaps its sides were cut to a multiple, or the image into pieces.
            grows = output.ndim == 4 and (output.shape[3] > image.shape[3] or len(output) > 1)
            return output

        failures: list[CheckpointError] = []
        for multiple in [1] if all(self.fixed) else _MULTIPLES:
            self.multiple = multiple
            try:
                scales = {self._declared_scale() or find_scale(str(path), run, size) for size in self._probes()}
            except CheckpointError as error:
                failures.append(error)
                if is_out_of_memory(error):
                    raise CheckpointError(f"There is not enough memory to try {path}: close other programs.") from error
                if error.__cause__ is None and not grows:
                    raise
            else:
                self.scale = scales.pop()
                break
        else:
            cause = failures[0].__cause__
            if cause is None:
                raise failures[0]
            raise CheckpointError(
                f"{path} failed on test images of all sizes that were tried ({describe(cause)}): export it with "
                "dynamic height and width, and without shapes that were fixed by the example."
            ) from cause
        if not all(self.fixed):
            self._settle_minimum()

    def _declared_scale(self) -> int | None:
        """Return the scale that a file for one size states, whose trial might take minutes."""
        height, width = self.fixed
        declared = self._session.get_outputs()[0].shape[1:]
        if not (height and width and len(declared) == 3 and isinstance(declared[2], int)):
            return None
        scale = declared[2] // width
        return scale if scale > 1 and declared == [3, scale * height, scale * width] else None

    def _settle_minimum(self) -> None:
        """Find out the smallest side; what it takes was found to be no larger than some 64 pixels."""
        for side in _SMALLEST:
            self.minimum = side
            with suppress(UserError):
                if self.forward(torch.zeros(1, 3, 1, 1)).shape[2:] == (self.scale, self.scale):
                    return

    def _probes(self) -> set[tuple[int, int]]:
        """Return sizes of test images that have no other divisor in common than the multiple."""
        if self.multiple == 1:
            short, long = PROBE
        else:
            times = -(-min(PROBE) // self.multiple)
            short, long = self.multiple * times, self.multiple * (times + 1)
        height, width = self.fixed
        return {(height or short, width or long), (height or long, width or short)}

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped.

        Raises:
            UserError: gradients are asked for, the image holds no values (device "meta"), or the network fails.
        """
        if image.requires_grad and torch.is_grad_enabled():
            raise UserError(f"{self._name} is an ONNX file, which has no gradients: choose a PyTorch checkpoint.")
        if image.is_meta:
            raise UserError(f"{self._name} is an ONNX file, which has no layers to count: choose a PyTorch checkpoint.")
        height, width = image.shape[2:]
        try:
            return self._tiled(image.detach().cpu()).to(image)
        except Exception as error:  # onnxruntime has many types for this
            raise UserError(
                f"{self._name} failed on an image of {width} x {height} pixels ({describe(error)}): export it again "
                "with dynamic height and width."
            ) from error

    def _tiled(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        rows, columns = (
            spans(length, fixed or length, _OVERLAP, self.scale)
            for length, fixed in zip((height, width), self.fixed, strict=True)
        )
        if len(rows) == len(columns) == 1:
            return self._padded(image)
        output = torch.zeros(len(image), 3, self.scale * height, self.scale * width)
        for row, column in itertools.product(rows, columns):
            tile = self._padded(image[:, :, row.low, column.low])
            output[:, :, row.high, column.high].addcmul_(tile.float(), row.weight[:, None] * column.weight)
        return output

    def _padded(self, image: Tensor) -> Tensor:
        """Run it on images no larger than the fixed size."""
        height, width = image.shape[2:]
        bottom, right = (
            fixed - side if fixed else -(-max(side, self.minimum) // self.multiple) * self.multiple - side
            for side, fixed in zip((height, width), self.fixed, strict=True)
        )
        return self._run(pad(image, right, bottom))[:, :, : self.scale * height, : self.scale * width]

    def _run(self, images: Tensor) -> Tensor:
        """Run it on images of a size that it takes, as many at once as it takes."""
        count = self._batch or len(images)
        missing = -len(images) % count
        batch = images.numpy().astype(self._dtype)
        batch = np.concatenate([batch, batch[-1:].repeat(missing, 0)])
        parts = np.split(batch, len(batch) // count)
        output = np.concatenate([self._session.run(None, {self._input: part})[0] for part in parts])
        return torch.from_numpy(output[: len(output) - missing])

    def __deepcopy__(self, _memo: dict[int, Any]) -> "OnnxNetwork":
        """Return itself: a session never changes, and cannot be copied."""
        return self

    def extra_repr(self) -> str:
        """Return the digest of the file, since `state_dict` does not hold the weights."""
        return f"sha256={self._digest}"

    def _get_name(self) -> str:
        return "ONNX"
