"""Services as the metrics page and the gates of names see them."""

from __future__ import annotations

from headway.metrics.services import ServiceFigures
from headway.name_gates import Runs
from headway.services.supervisor import Supervisor


def figures(supervisor: Supervisor) -> list[ServiceFigures]:
    """Any thread: reads values that are replaced as a whole."""
    return [
        ServiceFigures(
            name=unit.name,
            group=unit.service.group or "",
            kind=unit.service.kind,
            status_code=unit.phase.code,
            restarts=unit.remembered.restarts,
            wanted=unit.wanted,
            port_open=unit.port_open,
            scheduled=unit.service.schedule is not None,
            next_run_at=supervisor.next_run(unit),
            last_run_at=unit.remembered.last_run_at,
            missed=unit.remembered.missed,
            overlapped=unit.remembered.overlapped,
            late_at=unit.remembered.late_at,
            overlapped_at=unit.remembered.overlapped_at,
        )
        for unit in list(supervisor.units.values())
    ]


def runs(supervisor: Supervisor) -> list[Runs]:
    """What the schedules that are to run have done."""
    return [
        Runs(
            name=unit.name,
            kind=unit.service.kind,
            last_run_at=unit.remembered.last_run_at,
            late_at=unit.remembered.late_at,
            overlapped_at=unit.remembered.overlapped_at,
        )
        for unit in supervisor.units.values()
        if unit.service.schedule is not None and unit.wanted
    ]
