"""Every instrument of one gateway, over a registry of its own (docs/metrics.md lists them).

Promises: no label holds what a client or a patient is called, nor an account or an address; each has as many values as
the configuration, the code or the table of routes has. Nothing here knows who observes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

#: Upper ends of the buckets, seconds.
COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DELIVERY_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 72 * 3600.0)
#: What may become of an instance, as the trail counts it.
OUTCOMES = ("stored", "already_there", "rejected", "failed", "skipped")
#: Quotas that refuse.
LIMITS = ("limits.open_uploads", "limits.reserved_share", "limits.qr_codes", "limits.logins_per_minute")
#: Methods that are told apart; a client may send any word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The instruments. Safe in every thread.

    :param endpoint_ids: of the configuration. What can happen to each is there with 0 from the start: what begins with 1
        is no increase to Prometheus.
    """

    def __init__(self, version: str, endpoint_ids: Iterable[str]) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        Info("relaypacs_build", "The release that runs.", registry=registry).info({"version": version})

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"relaypacs_{name}", help_, labels, registry=registry)

        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"relaypacs_{name}", help_, labels, registry=registry)

        def histogram(name: str, help_: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"relaypacs_{name}", help_, labels, registry=registry, buckets=tuple(buckets))

        self._requests = counter("http_requests", "Requests that were answered.", "route", "method", "status")
        self._body_bytes = counter("http_body_bytes", "Bytes of request bodies that came.")
        self._problems = counter("problems", "Answers with a problem, by its code.", "code")
        self._quotas = counter("quota_refusals", "Refusals by a quota, by its key.", "limit")
        self._logins = counter("logins", "Logins of local accounts: success, failed, refused (too many).", "result")
        self.events = counter("events", "Events of the audit trail, by their name.", "event")
        self.uploads_opened = counter("uploads_opened", "Uploads that were opened.", "endpoint")
        self.files_whole = counter("files_whole", "Files whose last byte came.")
        self.file_bytes = counter("file_bytes", "Bytes of those files.")
        self.uploads_held = counter("uploads_held", "Reasons for which uploads were held.", "reason")
        self.uploads_ended = counter("uploads_ended", "Deliveries that came to an end.", "endpoint", "state")
        self.instances = counter("instances", "What became of instances.", "endpoint", "outcome")
        self.purged_files = counter("purged_files", "Files whose bytes were erased.", "reason")
        self.purged_bytes = counter("purged_bytes", "Sealed bytes of those.", "reason")
        self.delivery = histogram(
            "delivery_seconds", "From an upload's completion to its receipt.", DELIVERY_S, "endpoint", "state"
        )
        self._messages = counter("messages", "Tries to send a message.", "channel", "result")
        self._asked = histogram("pacs_request_seconds", "Requests to a PACS.", REQUEST_S, "endpoint", "result")
        self._commits = histogram("ledger_commit_seconds", "Commits of the ledger, with their fsync.", COMMIT_S)
        self._lag = histogram("loop_lag_seconds", "How late the event loop woke a timer.", LAG_S)
        self.uploads = gauge("uploads", "Uploads that there are.", "endpoint", "state")
        self.queue_age = gauge("queue_age_seconds", "Age of the oldest upload on its way to a PACS.", "endpoint")
        self.stat_late = gauge(
            "stat_late_uploads", "STAT uploads that were told to be late and aren't over.", "endpoint"
        )
        self.hold_age = gauge("hold_age_seconds", "Age of the oldest hold.", "endpoint")
        self.condition = gauge("endpoint_condition", "1: the endpoint is so.", "endpoint", "condition")
        self.spool_reserved = gauge("spool_reserved_bytes", "Sealed bytes that are set aside or used.")
        self.spool_awaited = gauge("spool_awaited_bytes", "Of those, what is still to come.")
        self.spool_max = gauge("spool_max_bytes", "spool.max_bytes of the configuration.")
        self.spool_free = gauge("spool_free_bytes", "Free bytes of the spool's disk.")
        self.reserve_held = gauge("ledger_reserve_held", "0: the ledger's disk was full; no new bytes are taken.")
        self.purge_at = gauge("purge_last_run_timestamp_seconds", "When the purge ran last, unix seconds.")
        self.audit_unsent = gauge("audit_unsent_events", "Events that the audit repository doesn't have yet.")
        self.audit_behind = gauge("audit_unexported_events", "Events that the audit file doesn't have yet.")

        self._begin(endpoint_ids)

    def _begin(self, endpoint_ids: Iterable[str]) -> None:
        """What can happen is there with 0."""
        for endpoint_id in endpoint_ids:
            self.uploads_opened.labels(endpoint_id)
            for state in ("success", "partial", "failed"):
                self.uploads_ended.labels(endpoint_id, state)
            for outcome in OUTCOMES:
                self.instances.labels(endpoint_id, outcome)
            for result in ("answered", "refused", "down", "misconfigured"):
                self._asked.labels(endpoint_id, result)
        for result in ("success", "failed", "refused"):
            self._logins.labels(result)
        for channel in ("webhook", "mail"):
            for result in ("sent", "failed", "gave_up"):
                self._messages.labels(channel, result)
        for limit in LIMITS:
            self._quotas.labels(limit)

    def answered(self, route: str, method: str, status: int, body_bytes: int) -> None:
        """A request was answered. :param route: its pattern; empty: there is no such."""
        self._requests.labels(route or "-", method if method in METHODS else "-", str(status)).inc()
        self._body_bytes.inc(body_bytes)

    def refused(self, code: str, limit: str = "") -> None:
        """It was answered with a problem. :param limit: the quota's key."""
        self._problems.labels(code).inc()
        if limit:
            self._quotas.labels(limit).inc()

    def login(self, result: str) -> None:
        """Somebody tried to log in."""
        self._logins.labels(result).inc()

    def asked(self, endpoint_id: str, result: str, seconds: float) -> None:
        """A PACS was asked for something."""
        self._asked.labels(endpoint_id, result).observe(seconds)

    def told(self, channel: str, result: str) -> None:
        """A message was sent, wasn't, or was given up."""
        self._messages.labels(channel, result).inc()

    def committed(self, seconds: float) -> None:
        """The ledger has committed."""
        self._commits.observe(seconds)

    def lagged(self, seconds: float) -> None:
        """The loop was late."""
        self._lag.observe(seconds)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Everything in the format that `Accept` asks for, and its Content-Type. Takes some milliseconds."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutBirthdays(self.registry)), content_type


class _WithoutBirthdays(Collector):
    """A registry without the series that say when a counter was made: they would double the number of series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
