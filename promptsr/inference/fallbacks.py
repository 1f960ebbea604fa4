"""Run a network as asked, and in a safer way from the tile on at which that fails."""

import re
from copy import deepcopy

import torch
from torch import Tensor

from promptsr.support.errors import UserError, first_line
from promptsr.zoo.memory import is_out_of_code_memory, is_out_of_memory, lacks_memory
from promptsr.zoo.sr_model import SRModel

_LOST = re.compile(r"(CUDA|HIP|XPU|cuDNN|cuBLAS|MPS)\b.*(error|failure|failed)|device.*lost", re.IGNORECASE)
"""Messages of a failing device where PyTorch has no type of error for them."""


class SafeForward:
    """Run a network on one tile after the other.

    Once half precision gives values that are not finite, full precision is used; once the device fails, such as a GPU
    that was reset, the CPU; once oneDNN finds no memory for the code that it generates, PyTorch without oneDNN. Each
    change lasts for all later tiles and images.

    Args:
        model: on the CPU; another device gets a copy, since a lost device takes its memory along.
        device: the first device.
        half: whether to begin in half precision (`torch.autocast`).
    """

    def __init__(self, model: SRModel, device: torch.device, half: bool) -> None:
        self._spare = model
        self._device = device
        self._half = half
        self._onednn = True
        self._model = (model if device == torch.device("cpu") else deepcopy(model)).to(device)
        self.notes: list[str] = []
        """A sentence for each change."""

    @torch.inference_mode()
    def __call__(self, tile: Tensor) -> Tensor:
        """1 x 3 x h x w on the CPU -> 3 x sh x sw float32 on the CPU.

        Raises:
            UserError: values that are not finite, in full precision.
            MemoryError: the pass would need more memory than is free.
        """
        try:
            output = self._run(tile)
        except Exception as error:
            if not self._is_lost(error):
                raise
            reason = first_line(str(error))
            self.notes.append(f"The device {self._device} failed ({reason}), so {self._spare.name} used the CPU.")
            self._model, self._device, self._half = self._spare, torch.device("cpu"), False
            output = self._run(tile)
        if output.isfinite().all():
            return output
        if self._half:
            self.notes.append(f"{self._spare.name} overflowed in half precision, so it used full precision.")
            self._half = False
            return self(tile)
        raise UserError(
            f"{self._spare.name} gave values that are not finite (NaN or infinity), so no image was made: its "
            "weights are damaged or do not suit this device; try another checkpoint or device."
        )

    def _run(self, tile: Tensor) -> Tensor:
        if self._onednn:
            try:
                return self._pass(tile)
            except RuntimeError as error:
                if not is_out_of_code_memory(error):
                    raise
            # Generated code cannot lie in what glibc holds free, and glibc may hold all that the process is granted.
            self._onednn = False
        with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):
            return self._pass(tile)

    def _pass(self, tile: Tensor) -> Tensor:
        # The system would grant it, and end this process in the midst of the pass.
        if self._device.type == "cpu" and lacks_memory(self._spare.working_memory(*tile.shape[2:])):
            raise MemoryError
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            output: Tensor = self._model(tile.to(self._device))[0].float().cpu()
        return output

    def _is_lost(self, error: Exception) -> bool:
        if self._device == torch.device("cpu") or is_out_of_memory(error):
            return False
        return isinstance(error, torch.AcceleratorError) or (
            isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
        )
