"""What search over HTTP needs besides routes: limits, keys, jobs, images, batching."""
