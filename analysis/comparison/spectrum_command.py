"""`python -m analysis spectrum`: at which frequencies models err over a folder of images; impulse responses."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, ModelsOption, check_targets, show
from promptsr.support.files import write_json

if TYPE_CHECKING:
    from analysis.comparison.spectrum import SpectrumStudy

_FILES = ("spectrum.png", "spectrum.pdf", "spectrum.csv", "spectrum_images.csv", "spectrum.json")


def spectrum(
    folder: HrFolder,
    model: ModelsOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}; a stopped run is resumed from it.")
    ],
    lr: LrOption = None,
    json_target: JsonOption = None,
) -> None:
    """Split the error of models by frequency into missing and invented detail, and measure their impulse responses.

    Several ranks share the images under torchrun.
    """
    check_targets((out / name for name in (*_FILES, "finished/x.pt")), json_target)
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from analysis.comparison.spectrum import spectrum_study
    from analysis.comparison.spectrum_figure import draw_spectrum
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    images = search_pairs(folder, lr, common_scale(models))
    work = partial(spectrum_study, models)
    study = run_study(images, out / "finished", work)
    if study is None:
        return
    publish(draw_spectrum(study), out / "spectrum.png", out / "spectrum.pdf")
    write_table(study.bands, out / "spectrum.csv")
    write_table(study.images, out / "spectrum_images.csv")
    result = study.to_dict()
    write_json(out / "spectrum.json", result)
    show(result, _table(study), json_target)
    check_none_left_out(study.skipped, len(images.pairs) + len(images.left_out))


def _table(study: "SpectrumStudy") -> Table:
    error = ("MSE", "above", "missing", "invented")
    impulse = ("gain", "undershoot", "nonlinear")
    table = Table("model", *(Column(name, justify="right") for name in (*error, *impulse)))
    for mean, response in zip(study.means.itertuples(), study.impulses, strict=True):
        shares = (f"{100 * share:.0f} %" for share in (mean.above, mean.missing, mean.invented))
        answers = (f"{response.gain:.3f}", f"{response.undershoot:.3f}", f"{100 * response.nonlinear:.0f} %")
        table.add_row(mean.model, f"{mean.mse:.1f}", *shares, *answers)
    table.caption = (
        "MSE on Y, and shares of it: at frequencies above the input's limit, missing and invented detail; "
        "then the impulse response"
    )
    return table
