"""Models by name: our weights, checkpoints of other networks (`adapters`, `peers`), ONNX files, functions."""
