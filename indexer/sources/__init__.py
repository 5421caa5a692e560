"""Where files are read from that are not on this machine's drives: object stores and archives."""
