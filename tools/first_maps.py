"""Make the maps that the tab *Attribution* opens with, which come with the page: workbench/static/lam.

    python -m tools.first_maps    # `make maps`, some seconds

They are of the bundled weights, and shown as long as these are the same.
"""

import os

from promptsr.zoo.load import OWN_MODELS
from workbench.sessions.attribution import ship
from workbench.tabs.attribution import attribute, first_photograph, first_question, made_of


def main() -> None:
    """Make them."""
    os.environ.pop(OWN_MODELS, None)  # networks of one's own could take the place of the bundled ones
    question = first_question()
    *_, (shown, *_) = attribute(str(first_photograph()), **question)
    ship(shown, made_of(question))


if __name__ == "__main__":
    main()
