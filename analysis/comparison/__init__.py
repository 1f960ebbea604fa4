"""Several models on one image: a place of the result, shown and scored side by side."""
