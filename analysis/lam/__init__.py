"""Local attribution maps: the input pixels that one window of a result depends on (Gu and Dong, CVPR 2021)."""
