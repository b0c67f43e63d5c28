"""Whether a service answers: its port first, then its health check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.services import probe

if TYPE_CHECKING:
    from headway.services.unit import Unit


async def missing(unit: Unit) -> str | None:
    """What it does not answer to; None when it is ready. Notes what was found."""
    service, world = unit.service, unit.world
    if (port := service.port) is not None:
        unit.port_open = await world.thread(lambda: probe.port_open(port))
        if not unit.port_open:
            return f"nothing listens on port {port}"
    if (health := service.health) is not None:
        environ = world.launcher.environment(service.env)
        unit.health = await world.thread(lambda: probe.check(health, service.cwd, environ))
        return unit.health
    return None
