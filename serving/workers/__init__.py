"""Several processes that answer for one server, and what they have in common."""
