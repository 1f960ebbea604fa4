"""What all figures share: colours that read on white and on black, and how a figure becomes a file."""

import io

from matplotlib.figure import Figure

INK = "#76808c"
"""Of text and axes: readable on white and on black."""
_DPI = 160


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, on a transparent ground and without needless margins."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, transparent=True, bbox_inches="tight", pad_inches=0.03)
    return file.getvalue()
