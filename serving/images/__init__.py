"""Image files over HTTP."""
