"""The Chat Completions shape: a decoder into Messages requests and an encoder of their answers, nothing more."""
