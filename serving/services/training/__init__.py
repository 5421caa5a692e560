"""What learns from examples: the only part of the server that imports `adaptation`."""
