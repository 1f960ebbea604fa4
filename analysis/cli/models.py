"""The models that were named on a command line."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from promptsr.sr_model import SRModel
from promptsr.zoo import load_model


def load_models(typed: Sequence[str]) -> list[SRModel]:
    """These models, under the names that were typed where their own would clash, as two training runs' `best` would.

    Raises:
        CheckpointError: one cannot be loaded.
    """
    models = [load_model(name) for name in typed]
    times = Counter(model.name for model in models)
    return [
        model if times[model.name] == 1 else replace(model, name=name)
        for name, model in zip(typed, models, strict=True)
    ]
