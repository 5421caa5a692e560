"""Decoding in child processes, which a hostile file may crash, hang or fill up."""
