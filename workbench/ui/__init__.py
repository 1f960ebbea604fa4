"""Parts that every tab is made of: components, theme, status, scatter plot, network diagram, samples."""
