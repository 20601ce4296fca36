"""One target of `fuzz_targets` under atheris: `python -m tests.run_fuzz TARGET CORPUS SECONDS`. Called by `scripts/fuzz`."""

import sys

import atheris

with atheris.instrument_imports(include=["relayd", "h11", "wsproto"]):
    from tests.fuzz_targets import TARGETS

MEMORY_MAX_MB = 1024
INPUT_MAX_BYTES = 8192
SLOW_S = 10  # one input may not take longer

name, corpus, seconds = sys.argv[1:4]
options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MAX_MB}", f"-max_len={INPUT_MAX_BYTES}", f"-timeout={SLOW_S}"]
atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", corpus], TARGETS[name])
atheris.Fuzz()
