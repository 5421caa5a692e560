"""What every request passes: one module a job."""
