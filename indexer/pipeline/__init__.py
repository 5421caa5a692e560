"""Files to committed embeddings: decoding and encoding side by side."""
