"""Measures published checkpoints of other networks on Set5 and Set14 and prints a table.

    python benchmarks/peers.py PATH/TO/bench CHECKPOINT.pth ...    # bench holds Set5 and Set14, with xS/HR and xS/LR

PSNR-Y in dB and SSIM-Y on the public LR images, a border of `scale` pixels left out.
"""

import argparse
from pathlib import Path

from promptsr.evaluate import Evaluation, evaluate, find_pairs
from promptsr.zoo import load_model

SETS = ("Set5", "Set14")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    arguments = parser.parse_args()

    print(f"| checkpoint | scale | parameters | {' | '.join(SETS)} |\n|---|---|---|{'---|' * len(SETS)}")
    for path in arguments.checkpoints:
        model = load_model(path)
        cells = []
        for name in SETS:
            pairs = arguments.bench / name / f"x{model.scale}"
            images = list(evaluate(model, find_pairs(pairs / "HR", pairs / "LR")))
            score = Evaluation(model.name, model.scale, images)
            cells.append(f"{score.psnr_y:.3f} / {score.ssim_y:.4f}")
        print(f"| {model.name} | x{model.scale} | {model.parameters} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
