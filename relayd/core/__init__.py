"""The pure middle: facts in, orders out. It opens nothing, reads no clock and starts no thread.

A glossary, in the order in which a call meets the nouns:

call          one client's request for an answer, from its arrival to its last byte (`call.py`)
road          how a call reaches Claude Code: parked, warm, primed, reused, ready, waiting or cold
launch key    what a process is bound to from its start: model, thinking, limits (`claude/launch.py`)
slot          the place of a process: its directory, files, terminal and secret, named by its id
session       the record of the process in a slot, and its state machine (`session/`)
gate          the FIFO at which a process waits for its conversation before it reads any
turn          one answer in the making, merged from what Claude Code tells by four channels (`session/turn.py`)
parked        a session whose answer asks for the client's tools: the same turn goes on when their results come
kept          a session that has answered, at its prompt, holding its conversation for the next message
conversation  what relayd stores for a client that names one: a sticky session or a thread (`conversations.py`)
lease         a call's hold on its stored conversation; one that has lost its name changes nothing any more
part          a piece of an answer: text, a whole block, its end, or its failure

An *event* is a fact in the past tense (`events.py`), an *action* an order in the imperative (`actions.py`).
"""
