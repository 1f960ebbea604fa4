"""Attention of PromptSR: maps, categories, the reach of one pixel and the measured receptive field."""
