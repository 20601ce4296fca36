"""The daemon's life around the loop. `serve.py` is its beginning and its end; `cli.py` calls it."""
