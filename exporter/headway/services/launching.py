"""A service as what is started for it: the words of its command, and the flags of `headway run`."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from headway.model import TAKEN_OVER, Kind, OSProcess
from headway.schemas.reports import CreateIn
from headway.services.definition import Service

SHELL: Final = ("/bin/sh", "-c")


def words_of(service: Service) -> list[str]:
    return [*SHELL, service.command] if isinstance(service.command, str) else list(service.command)


def log_file(service: Service, data_dir: Path) -> Path:
    """Where all that it writes is kept, over all its starts."""
    return data_dir / "logs" / "services" / f"{service.name}.log"


def flags_of(service: Service, data_dir: Path, scheduled_for: float | None = None) -> list[str]:
    """The flags of `headway run` for one start."""
    flags = [f"--type={service.kind}", f"--name={service.name}", f"--grace={service.stop_grace}"]
    for flag in ("description", "user", "project", "task", "agent", "group"):
        if (text := getattr(service, flag)) is not None:
            flags.append(f"--{flag}={text}")
    numbers = {
        "expected": service.expected_duration,
        "timeout": service.timeout,
        "stuck-after": service.stuck_after,
    }
    flags += [f"--{flag}={value}" for flag, value in numbers.items() if value is not None]
    flags += service.limits.flags()
    flags += ["--kill-on-timeout"] if service.kill_on_timeout else []
    # What a daemon logs is no progress of its own, whatever it counts.
    flags += ["--no-progress"] if service.kind is Kind.DAEMON else []
    flags += [f"--metadata={name}={json.dumps(value)}" for name, value in metadata_of(service, scheduled_for).items()]
    flags += [
        f"--log-file={log_file(service, data_dir)}",
        f"--log-rotate-at={service.log.rotate_at}",
        f"--log-keep={service.log.keep}",
    ]
    return flags


def creation_of(service: Service, process: OSProcess, command: str, how: str, started_age: float) -> CreateIn:
    """The record of one that runs already."""
    return CreateIn(
        name=service.name,
        type=service.kind,
        pid=process.pid,
        create_time=process.create_time,
        pid_namespace=process.pid_namespace,
        command=command[:16_384] or shlex.join(words_of(service))[:16_384],
        cwd=service.cwd,
        description=service.description,
        user=service.user,
        project=service.project,
        task=service.task,
        agent=service.agent,
        group=service.group,
        expected_duration=service.expected_duration,
        timeout=service.timeout,
        metadata=metadata_of(service, None) | {TAKEN_OVER: how},
        started_age=started_age,
    )


def metadata_of(service: Service, scheduled_for: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"service": service.name}
    if scheduled_for is not None:
        found["scheduled_for"] = datetime.fromtimestamp(scheduled_for, UTC).isoformat().replace("+00:00", "Z")
    return found
