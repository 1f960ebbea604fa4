"""Whole images through any model: tiles, back-off when memory runs out, fallbacks, self-ensemble."""
