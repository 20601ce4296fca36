"""relayd under the service manager of the system: rendered, installed, removed. Knows no daemon and no Claude Code."""
