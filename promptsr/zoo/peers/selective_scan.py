"""The recurrence of MambaIR, a linear one whose coefficients depend on the input, in plain torch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan(inputs: Tensor, steps: Tensor, rates: Tensor, writes: Tensor, reads: Tensor) -> Tensor:
    """Run h_t = exp(step_t rate) h_(t-1) + step_t write_t input_t along each line, and return read_t h_t.

    Lines are cut into about as many chunks as a chunk is long, and all chunks advance together: first from zero, which
    tells with which state each of them begins; then from that state.

    Args:
        inputs: B x ways x length x inner.
        steps: of the same shape.
        rates: ways x inner x states.
        writes: B x ways x length x states.
        reads: of the same shape.
    """
    length = inputs.shape[2]
    chunk = math.ceil(math.sqrt(length))
    missing = -length % chunk
    # chunk x B x ways x chunks x ...; a step of 0 changes no state
    x, steps, writes, reads = (
        F.pad(each, (0, 0, 0, missing)).unflatten(2, (-1, chunk)).movedim(3, 0)
        for each in (inputs, steps, writes, reads)
    )

    def advance(state: Tensor, t: int) -> Tensor:
        """Return the state after a position: B x ways x chunks x inner x states."""
        decay = (steps[t][..., None] * rates[:, None]).exp()
        return decay * state + (steps[t] * x[t])[..., None] * writes[t][..., None, :]

    zero = x.new_zeros(*x.shape[1:], rates.shape[2])
    last = zero
    for t in range(chunk):
        last = advance(last, t)
    decays = (steps.sum(0)[..., None] * rates[:, None]).exp()
    begin = [zero[:, :, 0]]
    for number in range(x.shape[3] - 1):
        begin.append(decays[:, :, number] * begin[-1] + last[:, :, number])
    state, outputs = torch.stack(begin, 2), []
    for t in range(chunk):
        state = advance(state, t)
        outputs.append((state * reads[t][..., None, :]).sum(-1))
    return torch.stack(outputs, 3).flatten(2, 3)[:, :, :length]
