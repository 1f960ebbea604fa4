"""`python -m analysis anchors`: do anchor prompts separate by residual group, and by the category of their image?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, follow, log, show
from promptsr.support.errors import ConfigError

if TYPE_CHECKING:
    from analysis.anchors.collect import Collecting
    from analysis.anchors.study import AnchorStudy, Stage


def anchors(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds a folder of images per category.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A PromptSR: a name from `promptsr models`, or a checkpoint.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the figure, tables and arrays; a stopped run is resumed from it."),
    ],
    block: Annotated[
        int | None, typer.Option(help="Block of each residual group, from 1.", show_default="the last")
    ] = None,
    way: Annotated[
        str, typer.Option("--points", help="An image becomes the mean of its anchors, flattened, or all its anchors.")
    ] = "mean",
    per_category: Annotated[
        int | None, typer.Option(min=1, help="Images of a category at most, drawn at random.", show_default="all")
    ] = None,
    perplexity: Annotated[float, typer.Option(help="t-SNE perplexity: about how many neighbours count.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed of every draw and of the untrained weights.")] = 0,
    k: Annotated[int, typer.Option(min=1, help="Nearest neighbours that vote.")] = 5,
    permutations: Annotated[int, typer.Option(min=1, help="Permutations of the labels, for the p-values.")] = 999,
    batch: Annotated[int, typer.Option(min=1, help="Images in one pass at most.")] = 8,
    json_target: JsonOption = None,
) -> None:
    """Lay out anchor prompts by t-SNE, and measure what they separate by; several ranks share it under torchrun."""
    from analysis.anchors.export import FILES, write_study
    from analysis.anchors.image_folders import find_image_set
    from analysis.anchors.study import analyse, check_settings, collect_variants
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.support.ranks import joined
    from promptsr.zoo.load import load_model

    collection = out / "collected"
    check_targets((*(out / name for name in FILES), collection / "plan.json"), json_target)
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"{out} lies in {folder}, where every folder is a category: choose another --out.")
    images = find_image_set(folder, per_category, seed)
    check_settings(images, way=way, perplexity=perplexity, k=k)
    loaded = load_model(model)

    left_out = LeftOutLog()

    def describe(step: "Collecting | Stage") -> tuple[int, int, str]:
        return step.done, step.total, step.name

    def describe_image(step: "Collecting") -> tuple[int, int, str]:
        left_out.name(step.left_out)
        return describe(step)

    with joined() as ranks:
        work = collect_variants(loaded, images, collection, block=block, batch=batch, seed=seed, ranks=ranks)
        collected = follow(work, "images", describe_image, shown=ranks.first)
        if not ranks.first:
            return
        measuring = analyse(collected, way=way, perplexity=perplexity, k=k, permutations=permutations, seed=seed)
        study = follow(measuring, "analysis", describe)
    write_study(study, out)
    for sentence in study.findings:
        log.print(sentence, soft_wrap=True)
    show(study.to_dict(), _table(study), json_target)
    check_none_left_out(study.skipped, len(images.files))


def _table(study: "AnchorStudy") -> Table:
    figures = ("silhouette", "k-NN", "chance", "p", "linear\nprobe")
    table = Table(
        Column("separated by", no_wrap=True),
        Column("network", no_wrap=True),
        *(Column(name, justify="right") for name in figures),
        box=SIMPLE,
        pad_edge=False,
        show_edge=False,
    )
    for question, answers in study.answers.items():
        for row, (name, found) in enumerate(answers.items()):
            table.add_row(
                "" if row else question,
                name.replace("_", " "),
                f"{found.silhouette:+.3f}",
                f"{found.knn:.1%}",
                f"{found.chance:.1%}",
                f"{found.p_value:.3g}",
                "" if found.probe is None else f"{found.probe:.1%}",
            )
        table.add_section()
    return table
