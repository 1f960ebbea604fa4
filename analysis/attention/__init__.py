"""Attention of PromptSR: maps, categories and their stability, the reach of a pixel, measured receptive fields."""
