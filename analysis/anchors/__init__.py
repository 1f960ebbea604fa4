"""Anchor prompts as points: t-SNE per residual group and how well groups and categories separate (Fig. 11)."""
