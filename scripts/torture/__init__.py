"""Programs that damage what clipdex reads, and count what comes of it."""
