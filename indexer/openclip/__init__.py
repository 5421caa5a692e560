"""Loading models through open_clip, and downloading them from a hub."""
