"""PromptSR: cascade prompting for lightweight image super-resolution."""

import promptsr.wait_policy  # noqa: F401

from promptsr.config import ModelConfig
from promptsr.inference.upscaler import Upscaler
from promptsr.model.network import PromptSR, build_model
from promptsr.model.taps import record
from promptsr.zoo.load import load_model

__all__ = ["ModelConfig", "PromptSR", "Upscaler", "build_model", "load_model", "record"]
