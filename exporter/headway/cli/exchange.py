"""One request to the exporter with a deadline. Made to start quickly: on loopback it is written to a socket by hand, requests
is imported for other addresses only."""

from __future__ import annotations

import time
from typing import Final

from headway.version import VERSION

LARGEST_ANSWER: Final = 16 * 1024 * 1024


def exchange(host: str, port: int, method: str, path: str, data: bytes, key: str | None, wait: float) -> tuple[int, bytes]:
    """One request over plain HTTP within `wait` seconds, whatever the other side does. Raises OSError or ValueError.

    HTTP/1.0 (RFC 1945): the answer ends with the connection and is never chunked.
    """
    import socket

    deadline = time.monotonic() + wait
    name = f"[{host}]" if ":" in host else host
    head = [f"{method} {path} HTTP/1.0", f"Host: {name}:{port}", f"User-Agent: headway/{VERSION}", "Content-Type: application/json"]
    head += ["Accept: application/json", f"Content-Length: {len(data)}"]
    if key is not None:
        if not key.isprintable():
            raise ValueError("the key holds characters that no key has")
        head.append(f"Authorization: Bearer {key}")
    received = bytearray()
    with socket.create_connection((host, port), timeout=wait) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode("utf-8") + data)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or len(received) > LARGEST_ANSWER:
                raise TimeoutError
            connection.settimeout(left)
            part = connection.recv(65536)
            if not part:
                break
            received += part
    top, gap, body = bytes(received).partition(b"\r\n\r\n")
    words = top.split(b"\r\n")[0].split()
    if not gap or len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("what listens there does not speak HTTP")
    return int(words[1]), body


def exchange_far(url: str, method: str, data: bytes, key: str | None, wait: float) -> tuple[int, bytes]:
    """One request to another machine, with its certificates and proxies. Raises OSError or ValueError."""
    import requests

    from headway.reporter.link import USER_AGENT, is_loopback, root_cause
    from headway.reporter.trust import Trust

    headers: dict[str, str | bytes] = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}".encode("utf-8", "replace")
    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(url)
            Trust.of().mount(session)
            answer = session.request(method, url, data=data, headers=headers, timeout=wait, allow_redirects=False)
    except requests.Timeout:
        raise TimeoutError from None
    except requests.RequestException as error:
        raise OSError(root_cause(error)) from None
    return answer.status_code, answer.content
