"""From a query's vector to ranked hits with their relevance."""
