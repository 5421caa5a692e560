"""The collection on disk: the catalog (SQLite) and the vector files (FAISS)."""
