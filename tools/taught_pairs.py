"""Make pairs for training whose HR images are other networks' results: what these learned from more photographs.

    python -m tools.taught_pairs train/a train/b --teacher CRAFT-x4.pth --teacher ELAN-light.pth --out pairs/quarter
    promptsr train CONFIG data=pairs/quarter/hr data_lr=pairs/quarter/lr

Their results follow from the LR pixels, where the true HR image also has details that do not: a network that learned a
hundred photographs by heart goes on learning from them. Choose teachers whose licences allow it.
"""

from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from promptsr.cli.console import run
from promptsr.imaging import Picture, decode, encode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.picture import to_color
from promptsr.imaging.resize import resize
from promptsr.support.errors import ImageError, UserError
from promptsr.zoo.load import load_model
from tools.photographs import find_photographs

_STRIDE = 8
"""Distance in pixels between the windows that are compared."""


def taught_pairs(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photographs.")],
    teacher: Annotated[list[str], typer.Option(help="A network, all of one scale. Repeatable: their mean is taken.")],
    out: Annotated[Path, typer.Option(help="Folder for hr/ and lr/; pairs that are there stay.")],
    shrink: Annotated[float, typer.Option(min=1, help="LR images are photographs that are so many times smaller.")] = 4,
    side: Annotated[int, typer.Option(min=16, help="Side in pixels of the part of an LR image that is kept.")] = 256,
) -> None:
    """Write an LR and an HR image of each photograph: its most textured part, and the mean of the teachers' results.

    Raises:
        UserError: teachers of different scales, or photographs of the same name.
    """
    teachers = [load_model(name) for name in teacher]
    if len({each.scale for each in teachers}) > 1:
        scales = ", ".join(f"{each.name} x{each.scale}" for each in teachers)
        raise UserError(f"The teachers have different scales ({scales}): take those of one scale.")
    for path in find_photographs(folders):
        target = out / "hr" / f"{path.stem}.png"
        if target.exists():
            continue
        try:
            lr = textured_part(_smaller(decode(path).to_tensor(), shrink), side)
        except ImageError as error:
            print(f"left out: {error}")
            continue
        with torch.inference_mode():
            hr = torch.stack([each(lr).clamp(0, 1) for each in teachers]).mean(0)
        _write(lr, out / "lr" / target.name)
        _write(hr, target)  # after its LR image: where it is there, both are
        print(path.name, flush=True)


def textured_part(image: Tensor, side: int) -> Tensor:
    """Return the square with the largest mean gradient of grey: 1 x 3 x H x W -> 1 x 3 x side x side, or less."""
    grey = image.mean(1, keepdim=True)
    gradient = F.pad(grey.diff(dim=2).abs(), (0, 0, 0, 1)) + F.pad(grey.diff(dim=3).abs(), (0, 1))
    height, width = (min(side, length) for length in image.shape[2:])
    means = F.avg_pool2d(gradient, (height, width), stride=_STRIDE)[0, 0]
    top, left = (_STRIDE * int(index) for index in torch.unravel_index(means.argmax(), means.shape))
    return image[..., top : top + height, left : left + width]


def _smaller(image: Tensor, factor: float) -> Tensor:
    """1 x 3 x H x W -> 1 x 3 x H/factor x W/factor, rounded down, to 8-bit levels."""
    height, width = (int(length / factor) for length in image.shape[2:])
    if 0 in (height, width):
        raise ImageError(f"an image of {image.shape[3]} x {image.shape[2]} pixels is too small.")
    return quantize(resize(image[..., : int(height * factor), : int(width * factor)], height, width))


def _write(image: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(Picture(to_color(image)), path)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(taught_pairs)

if __name__ == "__main__":
    run(app)
