"""Encoders: ONNX Runtime on the CPU, torch on a GPU."""
