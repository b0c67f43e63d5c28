"""The exporter as the client commands see it: where it is, with which key, and its refusals as exit codes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headway.cli.exits import CommandError, Exit
from headway.datadir import ADMIN_KEY_FILE, local_data_dir, read_key
from headway.places import NO_TLS, OFF

if TYPE_CHECKING:
    from headway.reporter.client import Client, Unreachable

LARGEST_PAGE: Final = 1000


def add_connection_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("exporter")
    group.add_argument("--url", metavar="URL", help="where it is; default: $HEADWAY_URL, else http://127.0.0.1:14323")
    group.add_argument(
        "--key-file", metavar="FILE", help="the key; default: $HEADWAY_KEY, $HEADWAY_KEY_FILE, else the local admin.key"
    )


def connect(args: argparse.Namespace) -> Connection:
    """Raises CommandError when the key cannot be read; says nothing about whether anybody answers."""
    from headway.cli.near import client_of
    from headway.reporter.address import find_url

    key, url = key_of(args), find_url(args.url)
    with told(url):
        return Connection(client_of(url, key))


def key_of(args: argparse.Namespace) -> str | None:
    """The key by flag, environment or the data directory of this machine. Raises CommandError when it cannot be read."""
    from headway.reporter.address import find_url

    key = given_key(args)
    if key is None:
        data_dir = local_data_dir()
        key = local_admin_key(find_url(args.url), data_dir)
    return key


def given_key(args: argparse.Namespace) -> str | None:
    """The key by flag or environment. Raises CommandError when it cannot be read."""
    from headway.reporter.address import find_key

    try:
        return Path(args.key_file).read_text(encoding="utf-8").strip() if args.key_file else find_key()
    except (OSError, UnicodeDecodeError) as error:
        where = args.key_file or os.environ.get("HEADWAY_KEY_FILE")
        words = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"cannot read the key file {where}: {words}; check --key-file or HEADWAY_KEY_FILE", Exit.USAGE) from None


class Connection:
    """The calls that the commands need. All raise CommandError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def processes(self, filters: Mapping[str, str], limit: int) -> tuple[list[dict[str, Any]], bool]:
        """At most `limit` processes, newest first, and whether there are more."""
        with told(self._client.url):
            found = list(islice(self._client.iterate(**{"limit": min(limit + 1, LARGEST_PAGE), **filters}), limit + 1))
        return found[:limit], len(found) > limit

    def resolve(self, wanted: str, by_name: bool = False) -> dict[str, Any]:
        """The process with this id, or the only one whose id begins so; `by_name`: or the newest of this name."""
        from headway.reporter.beginning import NotOne, resolve

        with told(self._client.url):
            try:
                return resolve(self._client, wanted, by_name)
            except NotOne as error:
                next_step = "" if error.ids else ": headway ps --all lists those that are kept"
                raise CommandError(f"{error}{next_step}", Exit.NOT_FOUND) from None

    def settings(self) -> dict[str, dict[str, str]]:
        with told(self._client.url):
            return self._client.settings()

    def names(self) -> list[dict[str, Any]]:
        """What is wrong with names: too many runs ended badly, or one that was due did not begin."""
        return self.said_beside()[0]

    def said_beside(self) -> tuple[list[dict[str, Any]], str | None]:
        """The same, and what the exporter has to say of itself: that nothing is being stored."""
        with told(self._client.url):
            stats = self._client.stats()
            return stats.get("names", []), stats.get("notice")

    def cancel(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.cancel(process_id)

    def dismiss(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.dismiss(process_id)

    def kill(self, process_id: str, signal: str, grace: float) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.kill(process_id, signal, grace)

    def kill_scope(self, scope: Mapping[str, Any], dry_run: bool, signal: str, grace: float) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.kill_scope(scope, dry_run, signal, grace)

    def pause(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.pause(process_id)

    def resume(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.resume(process_id)

    def retry(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.retry(process_id)

    def cleanup(self, older_than: float, dry_run: bool) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.cleanup(older_than, dry_run)

    def analyze(self, filters: Mapping[str, str]) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.analyze(**filters)

    def trends(self, timeframe: str, filters: Mapping[str, str]) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.trends(timeframe, **filters)

    def report(self, timeframe: str) -> str:
        with told(self._client.url):
            return self._client.report(timeframe)

    def report_parts(self, timeframe: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.report_parts(timeframe)

    def suggest(self, name: str, kind: str | None) -> list[dict[str, Any]]:
        with told(self._client.url):
            return self._client.suggest(name, kind)

    def tree(self, process_id: str) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.tree(process_id)

    def discovered(self) -> dict[str, Any]:
        with told(self._client.url):
            return self._client.discovered()

    def services(self) -> list[dict[str, Any]]:
        with told(self._client.url):
            return self._client.services()

    def start_services(self, names: list[str] | None, group: str | None) -> list[dict[str, Any]]:
        """Begins to start them, with what they depend on, and waits for nothing."""
        with told(self._client.url):
            return self._client.start_all(names, group, wait=0)

    def stop_services(self, names: list[str]) -> list[dict[str, Any]]:
        with told(self._client.url):
            return self._client.stop_all(names)

    def restart_service(self, name: str) -> dict[str, Any]:
        """Ends it and begins to start it."""
        with told(self._client.url):
            return self._client.restart(name, wait=0)

    def logs(self, name: str, lines: int) -> list[str]:
        with told(self._client.url):
            return self._client.logs(name, lines)

    def follow_logs(self, name: str, lines: int) -> Iterator[str]:
        with told(self._client.url):
            yield from self._client.follow_logs(name, lines)

    def output(self, process_id: str, tail: int) -> list[str]:
        with told(self._client.url):
            return self._client.output(process_id, tail)

    def follow(self, process_id: str, tail: int) -> Iterator[str]:
        with told(self._client.url):
            yield from self._client.follow(process_id, tail)


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turns what the client of the exporter at this address raises into a sentence with what to do next."""
    from headway.reporter.client import ApiError, Foreign, Unreachable

    foreign = f"what answers at {url} is no Headway exporter: check --url or HEADWAY_URL"

    try:
        yield
    except Unreachable as error:
        raise CommandError(unreached(error), Exit.UNREACHABLE) from None
    except Foreign:
        raise CommandError(foreign, Exit.UNREACHABLE) from None
    except ApiError as error:
        codes = {400: Exit.USAGE, 422: Exit.USAGE, 401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND}
        code = codes.get(error.status, Exit.FAILED)
        if error.status == 401:
            raise CommandError(
                "the exporter wants a key it knows: give one with --key-file, HEADWAY_KEY or HEADWAY_KEY_FILE", code
            ) from None
        raise CommandError(error.detail or error.title, code) from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(foreign, Exit.UNREACHABLE) from None


def unreached(error: Unreachable) -> str:
    """Why nobody could be asked, and what to do about that."""
    if error.url == OFF:
        return "HEADWAY_URL is off, so no exporter is asked: unset it, or give an address with --url"
    if not error.url.lower().startswith(("http://", "https://")):
        return f"{error.url} is no address of an exporter, which begins with http:// or https://: check --url or HEADWAY_URL"
    words = f"the exporter at {error.url} cannot be reached: {error.reason}. "
    if error.reason == NO_TLS:
        return f"{words}Give its address with http:// in --url or HEADWAY_URL"
    if "certificate" in error.reason:
        return f"{words}HEADWAY_CA_FILE names the certificates by which it is verified"
    # In a shell with the environment of a clone's stack it is that stack that does not run.
    how = "make up, in its clone" if os.environ.get("HEADWAY_SHELL") else "headway serve"
    return f"{words}Start it ({how}), or give another address with --url or HEADWAY_URL"


# ── the key of an exporter on this machine ──────────────────────────────────────────────────────────────────────────


def local_admin_key(url: str, data_dir: Path) -> str | None:
    """The key of the first start, for who may read it. Only for loopback, and only if what listens there belongs to the owner of
    the key: while the exporter is down, another user of this machine could listen in its place and would be given the key."""
    path = data_dir / ADMIN_KEY_FILE
    parts = urlsplit(url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return None
    try:
        owner = path.stat().st_uid
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (OSError, KeyError, ValueError):
        return None
    listeners = listening_uids(port)
    return read_key(path) if listeners and listeners <= {owner, 0} else None


def listening_uids(port: int, proc: Path = Path("/proc")) -> set[int]:
    """Who listens on this TCP port of the machine, whatever the address. Empty when it cannot be told (proc_pid_net(5))."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(int(fields[7]))
    return found
