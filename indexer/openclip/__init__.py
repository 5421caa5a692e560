"""Everything that reads models through open_clip, and the hub that they come from."""
