"""What all pages share: a model that is answered as HTML or, to the page's own script, as JSON; and the headers of both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from headway.api.access import Caller
from headway.api.context import Context, caller, context_of, data
from headway.api.web.row import path
from headway.errors import HeadwayError
from headway.keys import Role
from headway.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER: Final = Path(__file__).parent
# How often a page that cannot run its script is loaded anew (s).
REFRESH_ACTIVE: Final = 5
REFRESH_HISTORY: Final = 30
ROWS: Final = 1000
# Scripts come from files of ours only, and none of them may make markup out of text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types headway"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Stricter, and browsers would not say from where our own forms come.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
JSON: Final = "application/json"


class Assets(StaticFiles):
    """Style and scripts. A browser asks each time whether it has the present ones: those of another version do not fit the page."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


@cache
def templates() -> Environment:
    """Loaded with the first page."""
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    found.globals["spark"] = path
    found.globals["version"] = VERSION
    return found


def as_json(request: Request) -> bool:
    """Whether the page's own script asks."""
    return request.headers.get("accept") == JSON


def respond(request: Request, template: str, title: str, here: str, model: Mapping[str, Any], refresh: int = 0) -> Response:
    """The model as the page of this template, or as JSON where nothing else is accepted. `here` is the entry of the navigation,
    `refresh` how often a browser without scripts loads it anew (s; 0: not)."""
    if as_json(request):
        answer = data(model)
        answer.headers.update(HEADERS)
        return answer
    url = request.url
    goal = f"{url.path}?{url.query}" if url.query else url.path
    return page(context_of(request), template, title, here, refresh, who=caller(request), goal_here=goal, **model)


def page(
    context: Context, template: str, title: str, here: str, refresh: int, who: Caller | None = None, **values: Any
) -> Response:
    """A page from a template that extends layout.html. `who` looks at it: whoever may act there sees the buttons for it."""
    values |= {"title": title, "here": here, "refresh": refresh, "elsewhere": context.elsewhere.links(), "boot": context.boot}
    values["notice"] = context.writer.trouble
    html = templates().get_template(template).render(values, who=who, controls=may_control(who))
    return HTMLResponse(html, headers=dict(HEADERS))


def may_control(who: Caller | None) -> bool:
    """Whether the buttons that start and end things are there. Who came without a key is told where to sign in."""
    return who is not None and who.keyed and who.role.allows(Role.OPERATOR)


def problem_page(error: HeadwayError, context: Context, who: Caller | None = None) -> Response:
    """A refusal as a page, for a browser."""
    answer = page(context, "problem.html", error.title, "", 0, who=who, detail=error.detail, filtered=error.status == 422)
    answer.status_code = error.status
    return answer
