"""One Claude Code process, from its start to its end: its record, its state table, its turn, its prompt. Pure."""
