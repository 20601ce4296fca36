"""The stand-in for the Anthropic API, and what runs the real `claude` against it without an account."""
