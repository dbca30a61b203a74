"""The configuration: one TOML file, overridden by the environment, checked before anything starts.

    config = load(find_config_path(args.config, os.environ), os.environ)

Promises: what it returns is complete and consistent, secrets are resolved and print as `***`; what isn't known or
isn't built yet is a `ConfigError` of one line that names the key and what to do, and repeats no value that could be
a secret. Must not know who uses it.
"""

from __future__ import annotations

from gateway.config.kinds import Secret
from gateway.config.load import find_config_path, load
from gateway.config.model import (
    App,
    Audit,
    Auth,
    Config,
    Database,
    Delivery,
    Endpoint,
    Log,
    Oidc,
    Retention,
    Server,
    Spool,
    SpoolKeys,
    Tokens,
    Uploads,
    Validation,
)
from gateway.config.show import effective, reference

__all__ = [
    "App",
    "Audit",
    "Auth",
    "Config",
    "Database",
    "Delivery",
    "Endpoint",
    "Log",
    "Oidc",
    "Retention",
    "Secret",
    "Server",
    "Spool",
    "SpoolKeys",
    "Tokens",
    "Uploads",
    "Validation",
    "effective",
    "find_config_path",
    "load",
    "reference",
]
