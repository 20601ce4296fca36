"""The thin shell: the only fds, clocks, files and children. What they say becomes events; orders are performed."""
