"""The secret files that switch receivers on: `slack.url` for everything, `slack.critical.url` for what is critical alone."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headway.errors import ConfigError
from headway.forms import Form, boolean
from headway.yamlfile import Field, compose, fields, one

if TYPE_CHECKING:
    from headway.yamlfile import Reader

CRITICAL: Final = "critical"
WEBHOOK_VARIABLE: Final = "HEADWAY_WEBHOOK_URL"


@dataclass(frozen=True, slots=True)
class Secret:
    """One receiver. `name` is that of its file without the ending (slack, slack.critical); `values` holds what the file says, an
    address as "url". `path`: None for the address that came by the environment."""

    kind: str
    critical_only: bool
    values: Mapping[str, Any] = field(repr=False)
    path: Path | None

    @property
    def name(self) -> str:
        return f"{self.kind}.{CRITICAL}" if self.critical_only else self.kind


def _text(accepts: str, pattern: str) -> Form[str]:
    def read(raw: object) -> str:
        if not isinstance(raw, str) or not re.fullmatch(pattern, raw):
            raise ValueError("not so")
        return raw

    return Form(accepts, read)


def _url(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("not an address")
    return check_url(raw)


ADDRESSES: Final = _text("addresses such as a@example.org, separated by commas", r"[^\s@,]+@[^\s@,]+(, ?[^\s@,]+@[^\s@,]+)*")
ADDRESS: Final = _text("an address such as headway@example.org", r"[^@,\n]*[^\s@,]+@[^\s@,]+")
FORMS: Final[Mapping[str, Mapping[str, Form[Any]]]] = {
    "telegram": {
        "token": _text("the token of the bot, as @BotFather gave it", r"\d+:[\w-]+"),
        "chat_id": Form("the number of the chat, negative for a group", lambda raw: int(str(raw))),
        "api_url": Form("an address", _url),
    },
    "email": {
        "to": ADDRESSES,
        "from": ADDRESS,
        "smarthost": _text("host:port of the mail server", r"[^\s:]+:\d{1,5}"),
        "username": _text("a text", r"[^\n]+"),
        "password": _text("a text", r"[^\n]+"),
        "require_tls": boolean(),
    },
}
NEEDED: Final = {"telegram": ("token", "chat_id"), "email": ("to", "from", "smarthost")}
URLS: Final = ("slack", "discord", "teams", "webhook")
KINDS: Final = (*URLS, *FORMS)
FILES: Final = tuple(f"{kind}.url" for kind in URLS) + tuple(f"{kind}.yml" for kind in FORMS)


def check_url(text: str) -> str:
    """The address without space around it. Raises ValueError with what is wrong."""
    url = text.strip()
    if re.search(r"[\s\x00-\x1f\x7f\"\\]", url):
        raise ValueError("it has a space, a quote or a backslash in it")
    if not re.match(r"https?://[^/]", url) or not urlsplit(url).hostname:
        raise ValueError("it has to begin with http:// or https://")
    return url


def read_secrets(folder: Path, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """What is switched on, in the order of KINDS; none when there is no such folder. Raises ConfigError for what cannot be used."""
    found, wrong = [], []
    for path in sorted(folder.glob("*")):
        try:
            found += [] if _is_other(path) else [_read(path)]
        except ConfigError as error:
            wrong += [one.detail for one in error.each]
    if text := environ.get(WEBHOOK_VARIABLE, "").strip():
        try:
            found.append(Secret("webhook", False, {"url": check_url(text)}, None))
        except ValueError as error:
            wrong.append(f"{WEBHOOK_VARIABLE} cannot be used: {error}")
    if wrong:  # all at once, so that they are mended at once
        raise ConfigError("; ".join(wrong))
    return tuple(sorted(found, key=lambda secret: (KINDS.index(secret.kind), secret.critical_only)))


def _is_other(path: Path) -> bool:
    """What belongs to people and editors."""
    return path.name.startswith((".", "README", "#")) or path.name.endswith("~") or path.is_dir()


def _read(path: Path) -> Secret:
    parts = path.name.split(".")
    critical = parts[1:-1] == [CRITICAL]
    if (f"{parts[0]}.{parts[-1]}" not in FILES) or parts[1:-1] not in ([], [CRITICAL]):
        near = get_close_matches(path.name, FILES, n=1)
        words = f"did you mean {near[0]}?" if near else f"there are {', '.join(FILES)}, and each with .{CRITICAL} before its ending"
        raise ConfigError(f"{path} switches no receiver on: {words}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IROTH:
            raise ConfigError(f"{path} can be read by everybody on this machine (mode {mode:04o}): chmod 600 {path}")
        text = path.read_text(encoding="utf-8") if parts[-1] == "url" else ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read {path}: {why}") from None
    if parts[-1] == "yml":
        return Secret(parts[0], critical, _values(path, parts[0]), path)
    try:
        return Secret(parts[0], critical, {"url": check_url(text)}, path)
    except ValueError as error:
        raise ConfigError(f"the address in {path} cannot be used: {error if text.strip() else 'there is none'}") from None


def _values(path: Path, kind: str) -> dict[str, Any]:
    readers: dict[str, Reader] = {name: _quiet(name, form) for name, form in FORMS[kind].items()}
    node = compose(path)
    found = {} if node is None else fields(node, kind, path, readers)
    missing = [name for name in NEEDED[kind] if name not in found]
    if missing:
        raise ConfigError(f"{path} does not say {' and '.join(missing)}: {', '.join(f'{name}: …' for name in missing)}")
    return found


def _quiet(name: str, form: Form[Any]) -> Reader:
    """A reader whose error does not repeat a secret."""
    reader = one(form)

    def read(value: Field) -> Any:
        try:
            return reader(value)
        except ConfigError:
            raise value.wrong(f"cannot be used; accepted: {form.accepts}") from None

    return read if name in ("token", "password") else reader
