"""POST /api/alerting/relay/{receiver}: Alertmanager's messages, on their way to a service that it does not know."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response

from headway.alerting import relay as sending
from headway.alerting.message import MessageIn
from headway.api.context import caller, context_of, data
from headway.errors import HeadwayError
from headway.keys import Role
from headway.schemas.decoding import decode

log = logging.getLogger(__name__)


async def relay(request: Request) -> Response:
    """Sends a message of Alertmanager (the JSON of its webhooks) to a receiver that is switched on by its secret file. 503: it was
    not taken now, and is to be sent again; 422: it never will be. From this machine without a key, else with the role reporter."""
    context, who = context_of(request), caller(request)
    if who.keyed:
        who.require(Role.REPORTER)
    message = decode(await request.body(), MessageIn)
    name = request.path_params["receiver"]
    try:
        secret = await asyncio.to_thread(sending.find, context.settings.alerting_secrets, name)
        await asyncio.to_thread(sending.send, secret, message)
    except HeadwayError as error:
        log.warning("a message was not relayed: %s", error.detail)
        raise
    return data({"receiver": name, "alerts": len(message.alerts)})
