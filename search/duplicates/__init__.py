"""Near-duplicates: thumbnails, registration, groups."""
