"""What attacks a daemon, or a core, on purpose: hostile clients for `scripts/siege`, exceptions thrown from everywhere for
`tests/daemon/test_every_method_may_throw.py`. Nothing here is given the daemon's code to change: it only looks.
"""
