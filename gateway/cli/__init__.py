"""The command `relaypacs`: `main` is its entry, each command has a module of its own."""

from gateway.cli.command_line import NOT_BUILT, main, parser

__all__ = ["NOT_BUILT", "main", "parser"]
