"""The configuration's routes as delivery knows them."""

from __future__ import annotations

from gateway.config import Config
from gateway.delivery.routes import DeliveryRoute, RouteConditions


def routes_of(config: Config) -> list[DeliveryRoute]:
    """In their order."""
    return [
        DeliveryRoute(
            number,
            RouteConditions(
                modality=one.when.modality,
                sop_class=one.when.sop_class,
                station=one.when.station,
                account=one.when.account,
                declared=one.when.declared,
                min_size_bytes=one.when.min_size_bytes,
                max_size_bytes=one.when.max_size_bytes or None,
            ),
            one.to,
            one.required,
            one.fallback,
        )
        for number, one in enumerate(config.routes, 1)
    ]
