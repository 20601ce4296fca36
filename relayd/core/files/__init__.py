"""The files that clients upload and name in their requests: which there are, whose, how their bytes come into a call. Pure."""
