"""All knowledge of Claude Code: how it is started, told, watched and understood. No I/O.

Facts were measured on 2.1.330 by running the real binary against the stand-in; none is a
documented contract, so every string, path and flag that belongs to Claude Code is in this room.
"""
