"""What search over HTTP needs besides routes: limits, keys, jobs, pictures, batching."""
