"""What the `relayd` command does besides serving: each module one command. Called by `cli.py` only."""
