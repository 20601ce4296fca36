"""What attacks a daemon, or a core, on purpose: hostile clients for `scripts/siege`, exceptions thrown from everywhere for
`tests/test_every_method_may_throw.py`. Not a part of the wheel. Nothing here is given the daemon's code to change: it only looks.
"""
