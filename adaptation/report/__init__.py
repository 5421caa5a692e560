"""Which way of learning pays on a user's own data: all of them measured, in one page."""
