"""What a shell script says, on its way to the exporter: a request with a short deadline, the spool for what must not be lost."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from headway.cli import marks
from headway.cli.exchange import exchange, exchange_far
from headway.cli.exits import CommandError, Exit

DEFAULT_WAIT: Final = 3.0
# After a request that was not answered in time, the next ones are given less for a while: a loop must not pay for each.
SLOW_FOR: Final = 30.0
SLOW_WAIT: Final = 0.25
LATER: Final = (401, 403, 408, 429)
CODES: Final = {400: Exit.USAGE, 413: Exit.USAGE, 422: Exit.USAGE, 401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND}


class Trouble(Exception):
    """A report that did not arrive, in words. `later`: it may be taken another time. `timeout`: there was no answer in time."""

    def __init__(
        self, words: str, code: Exit, *, status: int = 0, field: str | None = None, later: bool = False, timeout: bool = False
    ) -> None:
        super().__init__(words)
        self.code = code
        self.status = status
        self.field = field
        self.later = later
        self.timeout = timeout
        self.counted = False  # the number of items it said is kept


class Delivery:
    """The exporter that the flags name. `off`: nothing is to be reported (HEADWAY_URL=off)."""

    def __init__(self, args: argparse.Namespace) -> None:
        from headway.reporter.address import OFF, find_key, find_url

        self.url = find_url(args.url)
        self.off = self.url == OFF
        self.wait: float = args.wait
        self._key: str | None = None
        self._asked_for_key = False
        self.warnings: list[str] = []  # of the latest answer, as the next
        self.ignored: list[str] = []  # fields of the update that changed nothing
        try:
            if args.key_file:
                with open(args.key_file, encoding="utf-8") as file:  # noqa: PTH123  pathlib is slow to import
                    self._key = file.read(4096).strip()
            else:
                self._key = find_key()
        except (OSError, UnicodeDecodeError) as error:
            where = args.key_file or os.environ.get("HEADWAY_KEY_FILE")
            words = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CommandError(
                f"cannot read the key file {where}: {words}; check --key-file or HEADWAY_KEY_FILE", Exit.USAGE
            ) from None

    # ── sending ────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The process as the exporter has it. Raises Trouble."""
        return self._send("POST", "/api/processes", body)

    def update(self, process_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The process after the update. A creation that still waits in the spool is delivered first. Raises Trouble."""
        try:
            return self._send("PATCH", f"/api/processes/{process_id}", body)
        except Trouble as trouble:
            if trouble.status != 404 or not self._deliver_spool():
                raise
        return self._send("PATCH", f"/api/processes/{process_id}", body)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        mark = marks.Mark("slow", self.url)
        slow = mark.age() < SLOW_FOR
        try:
            found = self._asked(method, path, body, min(self.wait, SLOW_WAIT) if slow else self.wait)
        except Trouble as trouble:
            if trouble.timeout and not slow:
                mark.set()
            raise
        if slow:
            mark.clear()
        return found

    def _asked(self, method: str, path: str, body: Mapping[str, Any], wait: float) -> dict[str, Any]:
        data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
        status, raw = self._exchange(method, path, data, wait)
        if status == 401 and self._key is None and not self._asked_for_key:
            self._asked_for_key = True
            self._key = local_key(self.url)
            if self._key is not None:
                status, raw = self._exchange(method, path, data, wait)
        try:
            answer = json.loads(raw)
            if 200 <= status < 300:
                self.warnings = [str(words) for words in answer.get("warnings") or ()]
                self.ignored = [str(field) for field in (answer.get("ignored") or {}).get("fields", ())]
                return dict(answer["data"])
            words = str(answer.get("detail") or answer["title"])
            field = answer.get("field")
        except (ValueError, KeyError, TypeError, AttributeError):
            foreign = f"what answers at {self.url} ({status}) is no Headway exporter: check --url or HEADWAY_URL"
            raise Trouble(foreign, Exit.FAILED, later=True) from None
        fix = "give one of the role reporter with --key-file, HEADWAY_KEY or HEADWAY_KEY_FILE"
        if status == 401:
            words = f"the exporter wants a key it knows: {fix}"
        elif status == 403 and not field and "--key-file" not in words:
            words = f"{words.rstrip('.')}: a key is missing, {fix}"
        later = status >= 500 or (status in LATER and not field)
        if status >= 500:
            words = f"the exporter at {self.url} fails ({status}): {words}"
        raise Trouble(words, CODES.get(status, Exit.FAILED), status=status, field=field, later=later)

    def _exchange(self, method: str, path: str, data: bytes, wait: float) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Trouble when there is none."""
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname or "", parts.port or 80
            near = parts.scheme == "http" and (host in ("localhost", "::1") or host.startswith("127."))
            if near:
                return exchange(host, port, method, parts.path + path, data, self._key, wait)
            return exchange_far(self.url + path, method, data, self._key, wait)
        except TimeoutError:
            words = f"the exporter at {self.url} did not answer within {wait:g} s"
            raise Trouble(words, Exit.UNREACHABLE, later=True, timeout=True) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            words = f"the exporter at {self.url} cannot be reached: {reason or type(error).__name__}"
            raise Trouble(words, Exit.UNREACHABLE, later=True) from None

    # ── the spool ──────────────────────────────────────────────────────────────────────────────────────────────────

    def keep(self, item: dict[str, Any], advance: float | None = None) -> str:
        """Writes what could not be sent to the spool and says in words where it is, or why not. `advance`: so many items are done
        since the creation, if that waits in the spool too; else it is not known how many there are."""
        from headway.reporter import spool

        try:
            folder = spool.directory()
            if "create" not in item and (creation := self._waiting_creation(str(item["id"]))) is not None:
                item = {**item, "create": creation}
                if advance is not None:
                    begun = (creation.get("progress") or {}).get("current") or 0
                    item["progress"] = {"current": begun + advance}
            spool.write(folder, self.url, [item])
        except OSError as error:
            return f"it could not be kept on disk either ({error.filename or 'spool'}: {error.strerror}) and is lost"
        return f"it is kept in {folder} and delivered later"

    def _waiting_creation(self, process_id: str) -> dict[str, Any] | None:
        """The creation of this process if it is in the spool itself: whatever follows it must not arrive without it."""
        from headway.reporter import spool

        for path in spool.ready(spool.directory()):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if process_id not in text or '"create"' not in text:
                continue
            for line in text.splitlines():
                try:
                    item = json.loads(line)
                    if item["id"] == process_id and item["url"] == self.url and "create" in item:
                        passed = max(0.0, time.time() - float(item.get("at", time.time())))
                        creation = dict(item["create"])
                        return {**creation, "started_age": float(creation.get("started_age", 0.0)) + passed}
                except (ValueError, KeyError, TypeError):
                    continue
        return None

    def _deliver_spool(self) -> bool:
        """Whether something that had waited was taken."""
        from headway.reporter import spool
        from headway.reporter.link import Link, Undelivered

        try:
            folder = spool.directory()
            if not any(spool.ready(folder)):
                return False
            return spool.deliver(folder, Link(self.url, self._key))[0] > 0
        except (Undelivered, OSError):
            return False


def local_key(url: str) -> str | None:
    """The admin key of an exporter on this machine, if this user may read it."""
    from headway.cli.connection import local_admin_key
    from headway.datadir import local_data_dir

    return local_admin_key(url, local_data_dir())


def warn(words: str) -> None:
    """One line on stderr; a script goes on whatever becomes of it."""
    from headway.cli.text import clean

    try:
        print(f"headway: {clean(words)}", file=sys.stderr, flush=True)
    except OSError:
        pass
