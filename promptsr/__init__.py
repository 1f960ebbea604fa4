"""PromptSR: cascade prompting for lightweight image super-resolution."""

import promptsr.wait_policy  # noqa: F401
from typing import TYPE_CHECKING

from promptsr.support.lazy import exports

__all__ = ["ModelConfig", "PromptSR", "Upscaler", "build_model", "load_model", "push_to_hub", "record"]

if TYPE_CHECKING:
    from promptsr.config import ModelConfig
    from promptsr.inference.upscaler import Upscaler
    from promptsr.model.network import PromptSR, build_model
    from promptsr.model.taps import record
    from promptsr.zoo.hub import push_to_hub
    from promptsr.zoo.load import load_model
else:
    __getattr__ = exports(
        __name__,
        {
            "ModelConfig": "promptsr.config",
            "PromptSR": "promptsr.model.network",
            "Upscaler": "promptsr.inference.upscaler",
            "build_model": "promptsr.model.network",
            "load_model": "promptsr.zoo.load",
            "push_to_hub": "promptsr.zoo.hub",
            "record": "promptsr.model.taps",
        },
    )
