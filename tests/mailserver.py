"""A mail server for tests: SMTP on a socket, with what it was given and what it refused."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any, cast

from waiting import wait_until


class MailServer:
    """SMTP as far as a client needs it that sends mail. Only known recipients; headers in ASCII, lines of at most 998 bytes."""

    def __init__(self, recipients: tuple[str, ...] = ("ops@example.org",)) -> None:
        self.messages: list[Message] = []
        self.refused: list[str] = []
        self.users: list[str] = []
        mail = self

        class Session(socketserver.StreamRequestHandler):
            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

            def handle(self) -> None:
                self.say("220 standin ESMTP")
                to: list[str] = []
                while line := self.rfile.readline().decode().strip():
                    verb = line.split()[0].upper()
                    if verb == "EHLO":
                        self.say("250-standin\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
                    elif verb == "AUTH":
                        mail.users.append(line)
                        self.say("235 2.7.0 accepted")
                    elif verb == "RCPT" and not any(f"<{one}>" in line for one in recipients):
                        mail.refused.append(line)
                        self.say("550 5.1.1 no such user")
                    elif verb == "DATA":
                        self.say("354 go on" if to else "503 5.5.1 no recipient")
                        if (raw := self.body()) is None:
                            return
                        self.say(mail.take(raw))
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        to += [line] if verb == "RCPT" else []
                        self.say("250 ok")

            def body(self) -> bytes | None:
                """None where the client went away in the midst of it, as Alertmanager does when it is stopped: that is no mail."""
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return None
                    lines.append(line[1:] if line.startswith(b"..") else line)
                return b"".join(lines)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def take(self, raw: bytes) -> str:
        head = raw.split(b"\r\n\r\n", 1)[0]
        found = message_from_bytes(raw, policy=default)
        why = ""
        if not head.isascii():
            why = "headers are not ASCII"
        elif any(len(line) > 998 for line in raw.split(b"\r\n")):
            why = "a line is too long"
        elif not all(found[name] for name in ("From", "To", "Subject", "Date", "Message-Id")):
            why = "a header is missing"
        if why:
            self.refused.append(f"{why}: {raw[:2000]!r}")
            return f"554 5.6.0 {why}"
        self.messages.append(found)
        return "250 2.0.0 taken"

    def wait(self, predicate: Callable[[Message], bool], timeout: float = 30.0) -> Message:
        try:
            return wait_until(lambda: [m for m in list(self.messages) if predicate(m)], timeout, "a mail")[0]
        except AssertionError as error:
            subjects = [str(m["Subject"]) for m in self.messages]
            raise AssertionError(f"{error}; there are {subjects}; refused: {self.refused}") from None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def part(message: Message, kind: str) -> str:
    """The text of the part of a mail, text/plain or text/html."""
    found = [one for one in message.walk() if one.get_content_type() == kind]
    return str(cast(Any, found[0]).get_content()).replace("\r\n", "\n")
