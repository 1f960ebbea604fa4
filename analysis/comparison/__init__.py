"""Several models side by side: a place of their results, their errors by frequency, how alike their features are."""
