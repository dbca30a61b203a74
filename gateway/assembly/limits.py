"""What one client may take, from the configuration to those who heed it (`[limits]`)."""

from __future__ import annotations

import resource
from collections.abc import Mapping

from gateway.config import Config
from gateway.identity.throttle import LoginLimits
from gateway.uploads.tails import OPEN_SEGMENTS
from gateway.web.connections import ConnectionLimits

#: As many handles as anybody needs, where the system sets no limit.
_MANY = 1 << 20
_MINUTE_S = 60.0


def handles() -> int:
    """Descriptors that this process may hold: half for connections, three eighths for segments, the rest is spare."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if soft == resource.RLIM_INFINITY else min(soft, _MANY)


def kept_tails() -> int:
    """Writers of tus files that are kept between requests; few of them keep a segment open (`OPEN_SEGMENTS`)."""
    return min(4096, handles() // 4)


def kept_chunk_segments() -> int:
    """Segments of chunked files that are kept open between requests."""
    return min(OPEN_SEGMENTS, handles() // 8)


def connection_limits(config: Config) -> ConnectionLimits:
    """For the listener."""
    return ConnectionLimits(
        unproven=config.limits.unproven_connections,
        most=handles() // 2,
        head_timeout_s=config.limits.json_timeout_s,
        exempt=config.server.trusted_proxies,
    )


def room_again_s(config: Config) -> float:
    """When to ask a full spool for room again: the purge makes some, and whoever fills its disk may be gone in a minute."""
    return min(config.retention.interval_s, _MINUTE_S)


def told(config: Config) -> Mapping[str, int]:
    """What clients need to know before they send. Sizes in bytes."""
    return {
        "max_file_size": config.uploads.max_file_size_bytes,
        "max_upload_size": config.uploads.max_upload_size_bytes,
        "max_files": config.uploads.max_files,
        "chunk_size": config.uploads.chunk_size_bytes,
        "open_uploads": config.limits.open_uploads,
        "reserved_bytes": int(config.limits.reserved_share * config.spool.max_bytes),
    }


def login_limits(config: Config) -> LoginLimits:
    """For accounts."""
    return LoginLimits(per_minute=config.limits.logins_per_minute)
