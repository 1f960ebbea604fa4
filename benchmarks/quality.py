"""Scores of every bundled model on the benchmark sets, written to `promptsr/weights/scores.json`.

    python benchmarks/quality.py BENCH    # holds Set5, Set14 and Kodak24, see promptsr.evaluation.benchmark_sets

Set5 and Set14 are scored on their public LR images, Kodak24 on our own bicubic ones. Prints the table of the README.
"""

import argparse
import os
from pathlib import Path

from promptsr.evaluation.benchmark_sets import find_sets
from promptsr.evaluation.evaluate import Evaluation, evaluate
from promptsr.support.files import write_json
from promptsr.zoo.load import OWN_MODELS, WEIGHTS, list_models, load_model

SETS = ("Set5", "Set14", "Kodak24")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    bench = parser.parse_args().bench

    os.environ.pop(OWN_MODELS, None)  # bundled models only
    scores: dict[str, dict[str, dict[str, float]]] = {}
    print(f"| model | {' | '.join(SETS)} |\n|---|{'---|' * len(SETS)}")
    for info in sorted(list_models(), key=lambda info: (info.scale, info.parameters)):
        if not info.has_weights:
            continue
        model = load_model(info.name)
        results = {}
        for each in find_sets(bench, SETS, info.scale):
            result = Evaluation(info.name, info.scale, list(evaluate(model, each.pairs)))
            results[each.name] = {"psnr_y": round(result.psnr_y, 4), "ssim_y": round(result.ssim_y, 5)}
        scores[info.name] = results
        cells = (f"{score['psnr_y']:.2f} / {score['ssim_y']:.4f}" for score in results.values())
        print(f"| {info.name} | {' | '.join(cells)} |", flush=True)

    content = {"command": "python benchmarks/quality.py BENCH", "metric": "PSNR-Y (dB), SSIM-Y", "models": scores}
    write_json(WEIGHTS / "scores.json", content)


if __name__ == "__main__":
    main()
