"""The categories of all blocks of a network on one photograph, as files for the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.attention.category_colors import category_overlay
from analysis.attention.category_figure import draw_agreement, draw_categories, draw_mean_patches
from analysis.attention.superpixels import superpixel_steps
from analysis.common.figure_style import publish
from promptsr.imaging import Metadata, encode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.picture import to_array
from promptsr.support.files import replacing
from promptsr.support.progress import map_progress
from workbench.server.arguments import Text
from workbench.server.device import on_device
from workbench.sessions import models
from workbench.sessions.attention import magnification, small
from workbench.sessions.pictures import from_array, new_folder, to_picture
from workbench.sessions.uploads import sent_file


@on_device
def categories(image: Text | None, model: Text) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Draw into which categories every block sorts the pixels of a photograph.

    Args:
        image: path of the file that was sent; it is shrunk to at most 96 pixels a side.
        model: name of a PromptSR network.

    Yields:
        The maps with their titles, what their agreement with superpixels says, that agreement as a figure, and files.

    Raises:
        UserError: no image, no such network, or one without anchors.
    """
    image = str(sent_file(image))
    lr = small(image)
    study = yield from map_progress(superpixel_steps(models.network(model), lr), lambda _: (gr.skip(),) * 4)
    photo, name, folder = to_array(lr), Path(image).stem, new_folder()
    pictures = []
    for found in study.maps.maps:
        large = category_overlay(found.labels, study.maps.grid.anchor_grid, photo, magnification(*photo.shape[:2]))
        file = folder / f"{found.group}-{found.block}-{found.kind}.png"
        encode(to_picture(quantize(from_array(large)), Metadata()), file)
        used = len(found.largest_first[0])
        pictures.append((str(file), f"Group {found.group}, block {found.block}, {found.kind}: {used} categories"))
    files = [folder / f"{name}-categories{suffix}" for suffix in (".png", ".svg", ".npz", ".csv")]
    whole = draw_categories(study.maps, photo)
    publish(whole, files[0])
    publish(whole, files[1])
    study.save(files[2])
    with replacing(files[3]) as temporary:
        study.table.to_csv(temporary, index=False)
    agreement, patches = folder / f"{name}-agreement.png", folder / f"{name}-patches.png"
    publish(draw_agreement(study), agreement)
    publish(draw_mean_patches(study.maps, photo), patches)
    yield pictures, study.finding, str(agreement), [*map(str, files), str(agreement), str(patches)]
