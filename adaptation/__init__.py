"""What adapts a collection to its owner; today: labels written beside the photos, as XMP."""
