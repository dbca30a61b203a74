"""The command `relaypacs`: `main` is its entry, each command has a module of its own."""

from gateway.cli.command_line import main, parser

__all__ = ["main", "parser"]
