"""Near-duplicates: gray thumbnails, registration, groups."""
