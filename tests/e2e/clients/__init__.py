"""Clients that aren't ours, each as a command: its address, its file, and $TOKEN."""
