"""Upscale whole images with any model: tiles, back-off when memory runs out, fallbacks, self-ensemble, sizes."""
