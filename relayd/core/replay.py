"""Whether another process may answer a call whose process is lost. A pure decision; asked by `core/delivery.py`.

It may, if nothing of an answer was shown and nothing of one came; or if the process held the conversation or got it by
keys, when nothing has reached the model that the client would miss. If a process that waited gave no sign of life, the others
that wait may be stuck for the same reason, stopped or swapped out: then a new one answers (`Failed.silent`).
"""

from __future__ import annotations

from relayd.core.call import Call, Stage
from relayd.core.session.parts import Failed

REPLAYS_MAX = 1  # of a call whose process showed nothing; one that fails again has another cause


def may_replay(call: Call, failed: Failed) -> bool:
    """True if another process may be asked, since nothing that the client would miss has come of this one."""
    if not failed.lost or call.stage is Stage.DONE or call.has_shown_content:
        return False
    return call.needs_keys or (failed.unseen and call.replays < REPLAYS_MAX)
