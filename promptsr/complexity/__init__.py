"""Parameters and multiply-adds: true ones, and those of the counter behind the printed figures."""
