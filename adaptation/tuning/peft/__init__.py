"""Parameter-efficient tuning: one module a method."""
