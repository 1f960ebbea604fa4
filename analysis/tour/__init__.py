"""The network box by box: equation, shapes, cost and picture of every step of Fig. 2, and exercises on it."""
