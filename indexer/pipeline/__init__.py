"""From files to committed embeddings, with decoding and encoding in parallel."""
