"""Models that others exported to ONNX, run as they are; docs/models.md has the families."""
