"""Parameters and multiply-adds beside the printed ones, and how both grow (Tables II and III, Fig. 1b)."""
