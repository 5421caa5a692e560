"""The SQLite store: statements, one module for each group of tables."""
