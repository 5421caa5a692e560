"""From text to token ids, as open_clip does it."""
