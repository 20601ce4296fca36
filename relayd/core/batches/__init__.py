"""Message Batches: requests that run when nobody else waits, and their results, which outlive the daemon. Pure.

A batch is its files: the requests, the results as clients get them, and a line about what has become of it. A request is done
when its result is in the file of results, and not before; one that was under way when the daemon ended is run again.
"""
