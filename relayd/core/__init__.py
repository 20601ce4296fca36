"""The pure middle: facts in, orders out. It opens nothing, reads no clock and starts no thread."""
