"""Make the study that the tab *Anchors* opens with, which comes with the page: workbench/static/anchors.

    python -m tools.first_study    # `make anchors`, about a minute

It is of the bundled weights, and shown as long as they are the same.
"""

import os

from promptsr.zoo.load import OWN_MODELS
from workbench.sessions.anchors import ship
from workbench.tabs.anchors import first_question, made_of, study


def main() -> None:
    """Make it."""
    os.environ.pop(OWN_MODELS, None)  # networks of one's own would be part of it
    question = first_question()
    *_, (studied, *_) = study(None, **question)
    ship(studied, made_of(question))


if __name__ == "__main__":
    main()
