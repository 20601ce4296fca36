"""The names and addresses of this machine that relayd takes for its own. Constants only; imported by every room that asks."""

HOSTS = ("127.0.0.1", "localhost", "::1")
# The same as a `Host` header and a URL have them: an IPv6 address stands in brackets.
HOSTS_IN_URLS = tuple(f"[{host}]" if ":" in host else host for host in HOSTS)
