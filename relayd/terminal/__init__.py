"""A terminal without I/O: bytes to actions (`vt`), actions to a grid and replies (`screen`)."""
