"""A query's vector to ranked hits with their relevance."""
