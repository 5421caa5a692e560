"""Crossing a domain gap: labelled images of one kind, unlabelled ones of another.

A head that learned from photos meets sketches. What is known of the sketches is how they look, not
what they are; the methods here use that. `Shift` holds both domains as arrays, `select` chooses a
method's settings without a label of the target and returns a head, `source_only` is what it has to
beat, and `distances` says how far apart the domains lie.
"""
