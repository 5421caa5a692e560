"""Examples: reading, splitting, checking."""
