"""PromptSR: cascade prompting for lightweight image super-resolution."""

import promptsr.wait_policy  # noqa: F401

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR, build_model
from promptsr.model.taps import record
from promptsr.upscale import Upscaler
from promptsr.zoo import load_model

__all__ = ["ModelConfig", "PromptSR", "Upscaler", "build_model", "load_model", "record"]
