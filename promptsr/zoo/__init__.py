"""Models by name: bundled weights, checkpoints of other networks (`adapters`, `peers`), ONNX files, functions."""
