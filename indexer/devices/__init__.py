"""What this machine has: cores and accelerators."""
