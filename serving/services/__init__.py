"""What routes call: no HTTP in here."""
