"""The configuration: one TOML file, overridden by the environment, checked before anything starts.

    config = load(find_config_path(args.config, os.environ), os.environ)

Promises: what it returns is complete and consistent, secrets are resolved and print as `***`; what isn't known or
isn't built yet is a `ConfigError` of one line that names the key and what to do, and repeats no value that could be
a secret. Must not know who uses it.
"""

from __future__ import annotations

from gateway.config.endpoints import AuthSection, EndpointSection
from gateway.config.kinds import Secret
from gateway.config.load import find_config_path, load
from gateway.config.model import (
    AppSection,
    AuditSection,
    Config,
    DatabaseSection,
    DeliverySection,
    LimitsSection,
    LogSection,
    OidcSection,
    RetentionSection,
    ServerSection,
    SpoolKeysSection,
    SpoolSection,
    TokensSection,
    UploadsSection,
    ValidationSection,
)
from gateway.config.show import effective, reference
from gateway.config.telling import MetricsSection

__all__ = [
    "AppSection",
    "AuditSection",
    "AuthSection",
    "Config",
    "DatabaseSection",
    "DeliverySection",
    "EndpointSection",
    "LimitsSection",
    "LogSection",
    "MetricsSection",
    "OidcSection",
    "RetentionSection",
    "Secret",
    "ServerSection",
    "SpoolKeysSection",
    "SpoolSection",
    "TokensSection",
    "UploadsSection",
    "ValidationSection",
    "effective",
    "find_config_path",
    "load",
    "reference",
]
