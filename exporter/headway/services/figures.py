"""Services as the metrics page shows them."""

from __future__ import annotations

from headway.metrics.services import ServiceFigures
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
        )
        for unit in list(supervisor.units.values())
    ]
