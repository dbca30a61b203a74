"""`python -m gateway.config` prints the reference of every key, as docs/configuration.md holds it."""

from __future__ import annotations

import sys

from gateway.config.show import reference

sys.stdout.write(reference())
