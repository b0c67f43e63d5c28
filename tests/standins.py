"""Stand-ins for the services that messages go to. They speak the wire formats of the real ones, and refuse what those refuse."""

from __future__ import annotations

import html.parser
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mailserver import MailServer
from running import RunningExporter
from waiting import wait_until

TOKEN = "123456:AAbb-cc_dd"
CHAT = -1001234


class Refused(Exception):
    """The answer of the service: status and body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


Check = Callable[[str, Any], tuple[int, Any]]


class StandIn:
    """One HTTP service. `messages` are those that it took, `refused` those that it did not. While `away` it answers 503."""

    def __init__(self, check: Check) -> None:
        self.messages: list[Any] = []
        self.refused: list[str] = []
        self.away = False
        self.turned_away = 0
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                standin.answer(self, raw, check)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler, raw: bytes, check: Check) -> None:
        try:
            if self.away:
                self.turned_away += 1
                raise Refused(503, "away")
            if not request.headers["Content-Type"].startswith("application/json"):
                raise Refused(400, "not JSON")
            body = json.loads(raw)
            status, answer = check(request.path, body)
            self.messages.append(body)
        except Refused as error:
            status, answer = error.status, error.body
            if not self.away:
                self.refused.append(f"{error}: {raw.decode()[:20_000]}")
        as_text = isinstance(answer, str)
        out = answer.encode() if as_text else json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "text/html" if as_text else "application/json")
        request.send_header("Content-Length", str(len(out)))
        request.end_headers()
        request.wfile.write(out)

    def wait(self, predicate: Callable[[Any], bool], timeout: float = 30.0, what: str = "a message") -> Any:
        """The first message that is so."""
        try:
            return wait_until(lambda: [m for m in list(self.messages) if predicate(m)], timeout, what)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.messages}; refused: {self.refused}") from None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


# ── Slack ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def slack(path: str, body: Any) -> tuple[int, Any]:
    """An incoming webhook. The real one shows what is wrongly escaped as something else; this one refuses it."""
    attachments = body.get("attachments") if isinstance(body, dict) else None
    if not isinstance(attachments, list):
        raise Refused(400, "invalid_payload")
    if not attachments or not any(one.get("text") or one.get("fallback") for one in attachments):
        raise Refused(400, "no_text")
    for one in attachments:
        if len(one.get("title", "")) > 1024 or len(one["text"]) > 4000 or len(json.dumps(body)) > 40_000:
            raise Refused(400, "msg_too_long")
        for text in (one["text"], one["title"], one["fallback"]):
            left = re.sub(r"<https?://[^\s|<>]+\|[^<>]+>", "", text)
            if "<" in left or ">" in left or re.search(r"&(?!(amp|lt|gt);)", left):
                raise Refused(400, "invalid_payload")
        if not re.fullmatch(r"https?://\S+", one.get("title_link", "http://none")):
            raise Refused(400, "invalid_attachments")
    return 200, "ok"


# ── Discord ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def discord(path: str, body: Any) -> tuple[int, Any]:
    """A webhook: https://discord.com/developers/docs/resources/webhook#execute-webhook, with the limits of embeds."""
    embeds = body.get("embeds") or []
    if not body.get("content") and not embeds:
        raise Refused(400, {"message": "Cannot send an empty message", "code": 50006})
    texts = [text for embed in embeds for text in (embed.get("title", ""), embed.get("description", ""))]
    wrong = (
        len(body.get("content", "")) > 2000
        or len(embeds) > 10
        or any(len(embed.get("title", "")) > 256 or len(embed.get("description", "")) > 4096 for embed in embeds)
        or sum(map(len, texts)) > 6000
        or not all(any(embed.get(key) for key in ("title", "description")) for embed in embeds)
    )
    if wrong:
        raise Refused(400, {"message": "Invalid Form Body", "code": 50035})
    return 204, ""


# ── Teams ───────────────────────────────────────────────────────────────────────────────────────────────────────────

NEEDED = {"TextBlock": "text", "RichTextBlock": "inlines", "FactSet": "facts", "Container": "items", "ActionSet": "actions"}


def teams(path: str, body: Any) -> tuple[int, Any]:
    """A workflow with the trigger "when a Teams webhook request is received": it wants a message with adaptive cards."""
    attachments = body.get("attachments") if isinstance(body, dict) else None
    if body.get("type") != "message" or not attachments:
        raise Refused(400, {"error": {"code": "TriggerInputSchemaMismatch"}})
    if len(json.dumps(body)) > 28_000:
        raise Refused(413, {"error": {"code": "RequestEntityTooLarge"}})
    for one in attachments:
        card = one.get("content", {})
        wrong = one.get("contentType") != "application/vnd.microsoft.card.adaptive" or card.get("type") != "AdaptiveCard"
        if wrong or not re.fullmatch(r"1\.[0-5]", card.get("version", "")) or not card.get("body"):
            raise Refused(400, {"error": {"code": "InvalidCard"}})
        check_elements(card["body"])
        for action in card.get("actions", ()):
            if action.get("type") != "Action.OpenUrl" or not action.get("title") or not action.get("url", "").startswith("http"):
                raise Refused(400, {"error": {"code": "InvalidAction"}})
        if len(card.get("actions", ())) > 6:
            raise Refused(400, {"error": {"code": "TooManyActions"}})
    return 202, ""


def check_elements(elements: list[dict[str, Any]]) -> None:
    for element in elements:
        needed = NEEDED.get(element.get("type", ""))
        if needed is None or not element.get(needed):
            raise Refused(400, {"error": {"code": "InvalidElement"}})
        if needed == "items":
            check_elements(element["items"])


# ── Telegram ────────────────────────────────────────────────────────────────────────────────────────────────────────

TAGS = {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote"}


class Entities(html.parser.HTMLParser):
    """What Telegram makes of HTML: text, with the tags that it knows, each of which is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS or (tag == "a" and not dict(attrs).get("href")):
            raise wrong_entities(f'Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise wrong_entities(f'Unmatched end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        if "<" in data:
            raise wrong_entities("Unexpected <")
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}.get(name, f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.text += chr(int(name[1:], 16) if name[0] in "xX" else int(name))


def wrong_entities(why: str) -> Refused:
    return Refused(400, {"ok": False, "error_code": 400, "description": f"Bad Request: can't parse entities: {why}"})


def telegram_text(text: str) -> str:
    """What is shown of a message in HTML. Raises Refused."""
    parser = Entities()
    if re.search(r"<(?![/a-zA-Z])", text) or text.count("<") != text.count(">") - len(re.findall(r"(?<![\"\w/])>", text)):
        raise wrong_entities("a tag is not closed")
    parser.feed(text)
    parser.close()
    if parser.open:
        raise wrong_entities(f"Can't find end tag of {parser.open}")
    return parser.text


def telegram(path: str, body: Any) -> tuple[int, Any]:
    """sendMessage of the Bot API."""
    if path != f"/bot{TOKEN}/sendMessage":
        raise Refused(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
    if int(body.get("chat_id", 0)) != CHAT:
        raise Refused(400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"})
    text = body.get("text", "")
    shown = telegram_text(text) if body.get("parse_mode") == "HTML" else text
    if not shown.strip():
        raise Refused(400, {"ok": False, "error_code": 400, "description": "Bad Request: message text is empty"})
    if len(shown.encode("utf-16-le")) // 2 > 4096:
        raise Refused(400, {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"})
    return 200, {"ok": True, "result": {"message_id": 1, "date": 1, "chat": {"id": CHAT, "type": "group"}, "text": shown}}


def anything(path: str, body: Any) -> tuple[int, Any]:
    """A webhook of Alertmanager's JSON."""
    if body.get("version") != "4" or not body.get("alerts"):
        raise Refused(400, "not from Alertmanager")
    return 200, ""


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────────


class StandIns:
    """Every service, and the secret files that lead to them. `exporter`: the one that relays, where there is one."""

    def __init__(self, folder: Path) -> None:
        self.slack, self.discord, self.teams = StandIn(slack), StandIn(discord), StandIn(teams)
        self.telegram, self.webhook, self.mail = StandIn(telegram), StandIn(anything), MailServer()
        self.exporter: RunningExporter | None = None
        self.folder = folder
        folder.mkdir(parents=True)
        for name in ("slack", "discord", "teams", "webhook"):
            self.put(f"{name}.url", f"{getattr(self, name).url}/services/{name}?secret=1\n")
        self.put("telegram.yml", f'token: "{TOKEN}"\nchat_id: {CHAT}\napi_url: {self.telegram.url}\n')
        mail = {"to": "ops@example.org", "from": "headway@example.org", "smarthost": self.mail.address, "require_tls": False}
        self.put("email.yml", json.dumps(mail | {"username": "headway", "password": "pass word: 1"}))

    def only_webhook(self) -> None:
        """Before an Alertmanager is configured: the other receivers are not switched on."""
        for path in self.folder.iterdir():
            if path.name != "webhook.url":
                path.unlink()

    def put(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)

    @property
    def services(self) -> dict[str, StandIn]:
        return {name: getattr(self, name) for name in ("slack", "discord", "teams", "telegram", "webhook")}

    @property
    def refused(self) -> list[str]:
        return [words for service in self.services.values() for words in service.refused] + self.mail.refused

    def forget(self) -> None:
        for service in self.services.values():
            service.messages.clear()
            service.refused.clear()
        self.mail.messages.clear()
        self.mail.refused.clear()

    def close(self) -> None:
        for service in self.services.values():
            service.close()
        self.mail.close()
