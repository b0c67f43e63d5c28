"""What the flags of `headway report` say, as the API takes it."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

THRESHOLDS: Final = ("stuck_after", "time_sink_ratio", "time_sink_after", "cpu_ratio", "memory_ratio", "waiting_after")


def creation_of(args: argparse.Namespace) -> dict[str, Any]:
    """The creation as the API takes it: what the flags say, and what is known of the script that called."""
    from headway.cli.caller import caller, command_line
    from headway.reporter.creation import _user, creation, identity, shell_words

    pid = None if args.no_pid else args.pid or caller()
    whereabouts = identity(0 if pid is None else pid)
    if pid is None or (args.pid is None and "create_time" not in whereabouts):
        whereabouts = {"host": whereabouts["host"]} if "host" in whereabouts else {}
    words = command_line(pid) if pid is not None else []
    progress = progress_of(args)
    if "total" in progress:
        progress.setdefault("current", 0)
    if args.current:
        progress["initial"] = args.current
    said = {
        **{field: getattr(args, field) for field in ("name", "type", "stage", "description", "project", "task", "attempt")},
        **{field: getattr(args, field) for field in ("agent", "group", "expected_duration", "timeout", "lease", "status")},
        "user": args.user or _user(),
        "parent_id": args.parent or os.environ.get("HEADWAY_PARENT_ID") or None,
        "command": args.command or (shell_words(words) if words else None),
        "cwd": args.cwd or working_directory(),
        "executor": args.executor or None,
        "cancellable": args.cancellable or None,
        "progress": progress or None,
        "metadata": metadata_of(args) or None,
        "thresholds": thresholds_of(args) or None,
        "rate": args.rate,
        "eta_seconds": args.eta,
    }
    # Everything was checked with the flags; what is left out here could not be named by one.
    return {**whereabouts, **creation(said, lambda field, reason: None)}


def working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  pathlib is slow to import
    except OSError:
        return None


def masked(body: dict[str, Any]) -> dict[str, Any]:
    """For the disk: no secret of a command line is stored, here as in the exporter."""
    from headway.masking import mask_command

    return {**body, "command": mask_command(body["command"])} if body.get("command") else body


def update_of(args: argparse.Namespace) -> dict[str, Any]:
    body = {
        "status": args.status,
        "progress": progress_of(args) or None,
        "stage": args.stage,
        "log": args.line,
        "summary": args.summary,
        "metadata": metadata_of(args) or None,
        "rate": args.rate,
        "eta_seconds": args.eta,
        "expected_duration": args.expected_duration,
        "timeout": args.timeout,
        "thresholds": thresholds_of(args) or None,
        "waiting_for": args.waiting_for,
    }
    said = {field: value for field, value in body.items() if value is not None}
    return {**said, "waiting_for": None} if args.goes_on else said


def progress_of(args: argparse.Namespace) -> dict[str, Any]:
    found = {field: getattr(args, field) for field in ("current", "total", "unit")}
    return {field: value for field, value in found.items() if value is not None}


def thresholds_of(args: argparse.Namespace) -> dict[str, Any]:
    return {field: getattr(args, field) for field in THRESHOLDS if getattr(args, field) is not None}


def metadata_of(args: argparse.Namespace) -> dict[str, Any]:
    return dict(args.metadata or ())
