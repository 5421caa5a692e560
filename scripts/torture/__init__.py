"""Commands that damage files in many ways and count what clipdex makes of them."""
