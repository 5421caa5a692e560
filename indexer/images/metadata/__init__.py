"""What an image says of itself: when it was taken, and with what."""
