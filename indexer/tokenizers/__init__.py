"""Text to token ids, as open_clip does it."""
