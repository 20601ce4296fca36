"""What relayd is measured and tormented with: benches, soak, faults, exactness in volume. Not in the package.

Each part runs as a module from the root of the checkout (`python -m tests.lab.bench`); `scripts/` has an entry for each.
It starts daemons through `relayd.doctor.harness`; nothing in `relayd/` imports it, which `test_layers.py` holds.
"""
