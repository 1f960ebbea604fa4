"""The network, one file per box of the paper's Fig. 2."""
