"""`relaypacs privacy`: what is held on one upload, and until when (GDPR articles 12 to 15)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gateway.cli.opening import ACTOR, configured

if TYPE_CHECKING:
    from gateway.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `privacy` to the command's parser."""
    parser = subparsers.add_parser("privacy", help="say what is held on an upload")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    one = acts.add_parser("report", help="what is held on one upload, and until when, as JSON")
    one.add_argument("upload_id", metavar="UPLOAD_ID")
    one.add_argument("--reveal", metavar="REASON", help="with the patient's data; the reason goes into the audit trail")
    one.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report. :returns: 0."""
    import asyncio
    import json

    print(json.dumps(asyncio.run(_report(configured(args), args)), indent=2, ensure_ascii=False))
    return 0


async def _report(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    from gateway.assembly.base import open_base
    from gateway.assembly.upkeep import open_administration
    from gateway.clock import SystemClock

    async with open_base(config, SystemClock()) as base:
        administration = open_administration(base)
        report = await administration.report(args.upload_id, actor=ACTOR)
        report["retention"] = {
            "bytes_after_delivery_s": config.retention.delivered_s,
            "bytes_after_failure_s": config.retention.failed_s,
            "record_s": config.retention.records_s,
            "audit_s": config.audit.retention_s,
            "privacy_contact": config.app.privacy_contact,
        }
        if args.reveal is not None:
            revealed = await administration.reveal(args.upload_id, actor=ACTOR, reason=args.reveal)
            report["patient_data"] = {name: value for name, value in revealed.items() if name != "upload_id"}
    return report
