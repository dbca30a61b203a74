"""Side by side with others on the same disk: `python -m bench --help`. Knows the gateway from outside only."""
