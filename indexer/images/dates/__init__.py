"""When a photo was taken: by its metadata, or by its name."""
