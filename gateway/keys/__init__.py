"""The gateway's own keys, and under which master key everything is wrapped."""
