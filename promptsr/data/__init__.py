"""Images for training and evaluation: pairs of HR and LR, a cache of decoded pixels, random crops."""

from promptsr.data.pairs import load_hr, load_pair, make_lr

__all__ = ["load_hr", "load_pair", "make_lr"]
