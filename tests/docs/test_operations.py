"""The files that docs/operations.md hands to administrators keep to what the gateway needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.model import ServerSection

CONFIG = Path(__file__).parents[2] / "config"
NGINX = (CONFIG / "nginx.example.conf").read_text(encoding="utf-8")
HAPROXY = (CONFIG / "haproxy.example.cfg").read_text(encoding="utf-8")
LONGEST_WAIT_S = max(60.0, ServerSection().body_idle_timeout_s)  # `complete` waits for 60 s at most


@pytest.mark.parametrize(
    "timeout_s",
    [
        *re.findall(r"^ +(?:client_body|proxy_read|proxy_send)_timeout +(\d+)s;", NGINX, re.MULTILINE),
        *re.findall(r"^ +timeout (?:client|server) +(\d+)s", HAPROXY, re.MULTILINE),
    ],
)
def test_a_proxy_waits_longer_than_the_gateway(timeout_s):
    assert float(timeout_s) > LONGEST_WAIT_S


def test_nginx_buffers_no_body_and_bounds_none():
    for directive in ("proxy_request_buffering off", "proxy_buffering off", "client_max_body_size 0"):
        assert re.search(rf"^ +{directive.replace(' ', ' +')};", NGINX, re.MULTILINE), directive


@pytest.mark.parametrize("text", [NGINX, HAPROXY], ids=["nginx", "haproxy"])
def test_a_proxy_says_who_asked_and_passes_on_no_word_of_the_clients(text):
    for name in ("For", "Proto", "Host"):
        assert re.search(
            rf"^ +(?:proxy_set_header|http-request (?:set|del)-header) +X-Forwarded-{name}\b", text, re.MULTILINE
        )


def test_a_full_spool_does_not_take_the_whole_gateway_out_of_haproxy():
    assert re.search(r"^ +option httpchk GET /healthz\b", HAPROXY, re.MULTILINE)


def test_the_unit_is_held_tight_and_gives_up_on_a_fault_that_stays():
    unit = (CONFIG / "relaypacs.example.service").read_text(encoding="utf-8")
    for line in (
        *("LimitCORE=0", "NoNewPrivileges=yes", "SystemCallFilter=@system-service"),
        *("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "StartLimitBurst=5", "CapabilityBoundingSet="),
    ):
        assert re.search(rf"^{re.escape(line)}$", unit, re.MULTILINE), line


def test_systemd_waits_longer_than_the_drain():
    unit = (CONFIG / "relaypacs.example.service").read_text(encoding="utf-8")
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop
    assert float(stop[1]) > ServerSection().drain_s
