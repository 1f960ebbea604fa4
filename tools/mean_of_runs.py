"""Average the weights of several runs, which can be better than each of them.

python -m tools.mean_of_runs runs/a/final.safetensors runs/b/final.safetensors --out trained/mean.safetensors
"""

from pathlib import Path
from typing import Annotated

import typer

from promptsr.cli.console import run
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.training.initial import load_matching
from promptsr.zoo.checkpoints import load_checkpoint, read_info, save_checkpoint


def mean_of_runs(
    weights: Annotated[list[Path], typer.Argument(help="Weights that `promptsr train` wrote.")],
    out: Annotated[Path, typer.Option(help="Weights to write.")],
) -> None:
    """Write the mean, with what is known of the first run, and of all under `mean_of`.

    Raises:
        UserError: a single file; or as `promptsr.training.initial.load_matching`.
    """
    if len(weights) < 2:
        raise UserError("A mean takes two files or more.")
    network = PromptSR(load_checkpoint(weights[0]).config)
    load_matching(network, weights)
    every = [{"file": path.name, **read_info(path)} for path in weights]
    train = read_info(weights[0]).get("train", {}) | {"init": [path.name for path in weights]}
    save_checkpoint(out, network.config, network.state_dict(), {"train": train, "step": 0, "mean_of": every})


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(mean_of_runs)

if __name__ == "__main__":
    run(app)
