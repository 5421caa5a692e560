"""A store that several people and machines write at once: PostgreSQL with pgvector."""
