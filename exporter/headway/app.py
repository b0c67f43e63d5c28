"""The exporter: composes store, registry, sampler, collector and API, and runs what happens on its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.types import ASGIApp

from headway.announcing.announcer import Announcer
from headway.announcing.rule import AnnounceRule
from headway.api.application import application
from headway.api.context import Context
from headway.api.elsewhere import LOOK_EVERY
from headway.api.identity import Identity
from headway.api.scrape import PREPARE_EVERY
from headway.collector import Collector
from headway.control.control import Control
from headway.datadir import ADMIN_KEY_FILE, read_key
from headway.discovery.discovery import Discovery
from headway.discovery.rule import Rule
from headway.effective import Row
from headway.ending.system import OSSystem
from headway.errors import StoreCorrupt, StoreUnavailable
from headway.expecting.definition import Expected
from headway.expecting.watch import LOOK_EVERY as EXPECTING_EVERY
from headway.expecting.watch import Expecting
from headway.garbage import SET_ASIDE_EVERY, Garbage
from headway.intake import Intake
from headway.keys import bootstrap
from headway.metrics.host import HealthMetrics
from headway.model import Process
from headway.notify import notify, watchdog_interval
from headway.permissions import looking
from headway.polling.definition import Integration
from headway.polling.poller import Poller
from headway.registry.changes import HostFacts
from headway.registry.mended import dismiss_mended
from headway.registry.named import NameWatch
from headway.registry.outcome import Writes
from headway.registry.registry import Registry
from headway.registry.unfinished import Unfinished, left_stopping
from headway.registry.using import COUNT_EVERY, UseWatch
from headway.registry.watch import Watch
from headway.registry.zombies import give_up_zombies
from headway.reporter import spool
from headway.reporter.trust import Trust
from headway.sampler.base import Sampler, identify, own_pid_namespace
from headway.sampler.contention import Contention
from headway.sampler.exits import ExitWatch
from headway.sampler.kinship import Kinship
from headway.sampler.serving import serving
from headway.sampler.strays import Marks
from headway.sampler.tree_sampler import TreeSampler
from headway.services.definition import Service
from headway.services.figures import figures, runs
from headway.services.supervisor import Supervisor
from headway.settings import Settings
from headway.shipping.entries import Entries
from headway.shipping.loki import Loki
from headway.shipping.shipper import Shipper
from headway.shipping.tee import Tee
from headway.store.base import LogLine, Store
from headway.store.sqlite import SQLiteStore
from headway.store.unusable import UnusableStore
from headway.store.writer import Writer
from headway.supervisor.launch import Launcher
from headway.supervisor.launches import Launches
from headway.transcripts.following import INTERVAL, Following
from headway.turns import Way, at_once, in_turns
from headway.webconfig.certificates import server_name
from headway.webconfig.webfile import WebFile

log = logging.getLogger("headway")

# For the last lines to reach Loki when the exporter stops (s).
LAST_LINES = 3.0
# How often the spool is looked at (s): one scandir of a folder that is empty nearly always.
INTAKE_INTERVAL = 5.0
# After an error in it the announcer begins anew (s).
ANNOUNCER_PAUSE = 10.0
# How long new processes gather before they are followed (s): an exit is to be noticed within 50 ms.
FOLLOW_PAUSE = 0.02


def open_store(settings: Settings) -> Store:
    """The database of the data directory. One that cannot be used is left alone: the exporter then runs without a memory and
    says so, rather than not at all."""
    try:
        return SQLiteStore(settings.data_dir / "headway.db")
    except (StoreCorrupt, StoreUnavailable) as error:
        log.error("%s", error.detail)
        return UnusableStore(error)


class Exporter:
    """Everything that lives while the exporter runs. `start` and `stop` belong to the event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        services: Sequence[Service] = (),
        discovery: Sequence[Rule] = (),
        announce: Sequence[AnnounceRule] = (),
        integrations: Sequence[Integration] = (),
        expected: Sequence[Expected] = (),
        effective: Sequence[Row] = (),
        clock: Callable[[], float] = time.time,
        sampler: Sampler | None = None,
    ) -> None:
        self.settings = settings
        self.store = open_store(settings)
        self.keys = bootstrap(settings.data_dir)
        self.web = WebFile(settings.web_config_file) if settings.web_config_file is not None else None
        marks = Marks()
        self.way = Way()
        self.sampler = sampler or TreeSampler(marks=marks, proportional=settings.memory_pss, giving=self.way.giving)
        self.own = HealthMetrics(external_url=settings.external_url, grafana_url=settings.grafana_url or "")
        self.collector = Collector(self.own, max_processes=settings.max_processes, max_names=settings.max_names)
        self.writer = Writer(self.store, on_failure=self._failed)
        host = HostFacts(socket.gethostname(), own_pid_namespace(), identify)
        self.shipper, writes = self._shipping(host.name, clock)
        self.registry = Registry(settings, writes, host, clock)
        self.watch = Watch(self.registry)
        self.watch.neighbours.evidence = Contention(self.sampler.members)
        self.watch.kin = Kinship().of_one_program
        self.use = UseWatch(self.registry, writes)
        self.named = NameWatch(self.registry, lambda: [*runs(self.supervisor), *self.expecting.runs()])
        self.control = Control(self.watch, system=OSSystem(marks=marks))
        self.unfinished = Unfinished(self.watch, {})
        self.garbage = Garbage()
        self.launcher = Launcher(settings.data_dir.absolute())
        self.launches = Launches(settings.data_dir)
        self.supervisor = Supervisor(services, self.registry, self.control, self.launcher, self.store.get)
        self.discovery = Discovery(discovery, self.watch)
        self.pollers = tuple(Poller(one, self.registry, self.store.get) for one in integrations)
        self.expecting = Expecting(expected, self.registry, settings.data_dir)
        self.following = Following(self.registry)
        self.permissions = looking.Permissions(self.registry)
        self.announcer = Announcer(self.registry, announce, settings.data_dir)
        self.context = Context(
            settings=settings,
            registry=self.registry,
            store=self.store,
            writer=self.writer,
            collector=self.collector,
            own=self.own,
            keys=self.keys,
            identity=Identity(settings, self.keys, self.web),
            control=self.control,
            launcher=self.launcher,
            supervisor=self.supervisor,
            launches=self.launches,
            discovery=self.discovery,
            pollers=self.pollers,
            expecting=self.expecting,
            effective=effective,
            way=self.way,
            boot=secrets.token_hex(4),
        )
        self.own.watch_store(self.writer, size_bytes=self.store.size_bytes, up=lambda: self.writer.last_error is None)
        self.own.watch_sampler(self.sampler)
        self.own.watch_settings(settings)
        self.own.watch_since(lambda: self.watch.watching_since)
        self.own.watch_services(lambda: [*figures(self.supervisor), *self.expecting.figures()])
        self.own.watch_names(lambda: self.registry.totals.reports, lambda: self.registry.totals.failure_rates)
        self.own.watch_announcer(self.announcer)
        self.own.watch_integrations(lambda: {one.integration.name: (one.standing, one.tracked()) for one in self.pollers})
        self.own.watch_discovery(self.discovery.counts, self.discovery.seconds)
        self.own.watch_stream(self.subscribers)
        self._tasks: list[asyncio.Task[None]] = []
        self._intake: Intake | None = None
        self._left: Sequence[Process] = ()
        self._going_on: asyncio.Task[None] | None = None
        self._exits: ExitWatch | None = None

    def _shipping(self, host: str, clock: Callable[[], float]) -> tuple[Shipper | None, Writes]:
        """Who brings lines to Loki, if anybody does, and the writer that the registry then gets."""
        settings = self.settings
        if not settings.loki_url:
            return None, self.writer
        loki = Loki(settings.loki_url, settings.loki_tenant, settings.loki_user, settings.loki_secret_file)
        entries = Entries(host, settings.max_names, settings.loki_line_bytes)
        shipper = Shipper(loki, settings.loki_buffer_bytes)
        self.own.watch_shipping(lambda: shipper.figures(entries.cut))
        return shipper, Tee(self.writer, entries, shipper, clock)

    def app(self) -> ASGIApp:
        return application(self.context, self.lifespan)

    def subscribers(self) -> int:
        """Who follows changes: callers of the stream, and browsers on the pages."""
        return self.registry.feed.hub.clients + self.context.live.followers

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        now = self.registry.clock()
        self.keys.serve(asyncio.get_running_loop().call_soon)
        loaded = await asyncio.to_thread(self.store.load, done_since=now - self.settings.active_retention)
        counts = await asyncio.to_thread(self.store.status_counts)

        def tail(process_id: str) -> Sequence[LogLine]:
            return self.store.lines(process_id, self.settings.log_tail_lines)

        self._left = left = left_stopping(loaded.processes)
        history = await asyncio.to_thread(lambda: {one.id: self.store.transitions(one.id) for one in left})
        self.registry.load(loaded.processes, loaded.names, counts, tail)
        self.unfinished = Unfinished(self.watch, history)
        self.writer.start(asyncio.get_running_loop())
        if self.shipper is not None:
            self.shipper.start()
        await self.supervisor.load()
        await self.expecting.load()
        if loaded.processes:
            log.info("took over %d processes from the store", len(loaded.processes))
        self._exits = ExitWatch(asyncio.get_running_loop(), self.watch.exited, clock=self.registry.clock)
        self.watch.exit_of = self._exits.exit_of
        self._tasks = [
            asyncio.create_task(self._every(1, self.follow_new), name="follow"),
            asyncio.create_task(self._every(self.settings.sample_interval, self.observe), name="observe"),
            asyncio.create_task(self._every(self.settings.cleanup_interval, self.clean_up), name="clean up"),
        ]
        self._tasks.append(asyncio.create_task(self._every(COUNT_EVERY, self.count_use), name="count use"))
        self._tasks.append(asyncio.create_task(self._every(SET_ASIDE_EVERY, self.garbage.tend), name="garbage"))
        self._tasks.append(asyncio.create_task(self._every(PREPARE_EVERY, self.context.scrape.prepare), name="prepare pages"))
        self._tasks.append(asyncio.create_task(self._every(INTERVAL, self.following.look), name="transcripts"))
        self._tasks.append(asyncio.create_task(self._every(looking.INTERVAL, self.permissions.look), name="permissions"))
        self._tasks.append(asyncio.create_task(self._every(LOOK_EVERY, self.context.elsewhere.look), name="look elsewhere"))
        for one in self.pollers:
            self._tasks.append(asyncio.create_task(self._every(one.integration.every, one.run), name=one.integration.name))
        if self.expecting.expected:
            self._tasks.append(asyncio.create_task(self._every(EXPECTING_EVERY, self.expecting.look), name="expect"))
        if self.discovery.rules:
            looks = self._every(self.settings.discovery_interval, self.discovery.discover)
            self._tasks.append(asyncio.create_task(looks, name="discover"))

    def listens_at(self, url: str) -> None:
        """Called once the address is known: from now on the spool of this host is emptied."""
        port = urlsplit(url).port
        if self.settings.address[1] == 0:  # the system chose the port, so the settings could not know it
            self.own.external_url = url
        # Scripts that began before TLS was switched on know the old address.
        local = (f"{scheme}://{name}:{port}" for name in ("127.0.0.1", "localhost") for scheme in ("http", "https"))
        urls = (url, self.settings.external_url, *local)
        everywhere = urlsplit(url).hostname in ("0.0.0.0", "::")
        here = f"{urlsplit(url).scheme}://127.0.0.1:{port}" if everywhere else url
        self.launcher.url, self.launcher.trust = here, self._trust()
        key = read_key(self.settings.data_dir / ADMIN_KEY_FILE)
        self._intake = Intake((spool.directory(), self.settings.data_dir / "spool"), urls, key, here, Trust.of(self.launcher.trust))
        self._tasks.append(asyncio.create_task(self._every(INTAKE_INTERVAL, self.take_in), name="take in"))
        self._going_on = asyncio.create_task(self.control.go_on([one.id for one in self._left]), name="go on with kills")
        self._tasks.append(self._going_on)
        self._tasks.append(asyncio.create_task(self._supervise(), name="services"))
        self.announcer.listens_at(url)
        self._tasks.append(asyncio.create_task(self._every(ANNOUNCER_PAUSE, self.announcer.run), name="announce"))
        if (interval := watchdog_interval()) is not None:
            self._tasks.append(asyncio.create_task(self._every(interval, self.sign_of_life), name="sign of life"))

    def _trust(self) -> dict[str, str]:
        """How those that the exporter starts know its certificate: by the certificate itself, whoever signed it and for whatever
        name. A certificate to show is that of our own environment."""
        tls = self.web.tls if self.web is not None else None
        if tls is None:
            return {}
        found = {"HEADWAY_CA_FILE": str(tls.cert_file.absolute())}
        if (name := server_name(tls)) is not None:
            found["HEADWAY_SERVER_NAME"] = name
        shown = {name: os.environ[name] for name in ("HEADWAY_CLIENT_CERT", "HEADWAY_CLIENT_KEY") if name in os.environ}
        if tls.client_auth is ssl.CERT_REQUIRED and not shown:
            log.warning(
                "clients have to show a certificate: set HEADWAY_CLIENT_CERT and HEADWAY_CLIENT_KEY for the exporter too, or what "
                "it starts cannot report"
            )
        return found | shown

    async def sign_of_life(self) -> None:
        """From the event loop: one that hangs gives none."""
        notify("WATCHDOG=1")

    async def _supervise(self) -> None:
        try:
            await self.supervisor.start()
        except Exception:
            log.exception("services cannot be kept")

    async def take_in(self) -> None:
        if self._intake is not None:
            await asyncio.to_thread(self._intake.collect)

    async def stop(self) -> None:
        self.supervisor.close()
        self.control.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._exits is not None:
            self._exits.close()
        at_once(self.registry.keeping_usage())
        with contextlib.suppress(StoreUnavailable):  # closing the writer says so
            at_once(self.use.counting(everything=True))
        try:
            await self.writer.close()
        except StoreUnavailable as error:
            log.error("the last changes could not be stored: %s", error.detail)
        if self.shipper is not None:
            await asyncio.to_thread(self.shipper.close, LAST_LINES)
        self.store.close()

    async def observe(self) -> None:
        """One look at the host: samples, vanished processes, conditions."""
        roots, way = self.watch.roots(), self.way
        await asyncio.sleep(0)
        if self._exits is not None:
            self._exits.keep(roots)
        if roots:
            started = time.perf_counter()
            samples = await asyncio.to_thread(self.sampler.sample, roots)
            self.own.observe_sample(time.perf_counter() - started)
            await in_turns(self.watch.applying(samples), way)
        if self._going_on is not None and self._going_on.done():
            self.unfinished.settle()
        await in_turns(self.watch.expiring(), way)
        await in_turns(self.watch.evaluating(), way)
        if suspects := self.watch.servers.suspects():
            trees = {process_id: pids for process_id in suspects if (pids := self.sampler.members(process_id))}
            self.watch.servers.apply(await asyncio.to_thread(serving, trees))
        self.named.evaluate()
        self.launcher.reap()

    async def follow_new(self) -> None:
        """Follows processes from their creation on, not only from the next sample on: many end before it."""
        turns, exits = self.registry.feed.turns, self._exits
        changed = turns.subscribe()
        changed.set()  # what was there before
        try:
            while exits is not None:
                await changed.wait()
                await asyncio.sleep(FOLLOW_PAUSE)
                changed.clear()
                for entry in self.registry.feed.take_turns():
                    root = self.watch.visible(entry.process) if entry.process.status.active else None
                    if root is None:
                        exits.forget(entry.process.id)
                    else:
                        exits.follow(entry.process.id, root)
        finally:
            turns.unsubscribe(changed)

    async def count_use(self) -> None:
        """What processes used until now is counted under their names; not while nothing can be stored: it would be undone."""
        if self.writer.last_error is not None:
            return
        await in_turns(self.use.counting(), self.way)

    async def clean_up(self) -> None:
        """Gives up zombies, dismisses what was mended, fades what is over, forgets what is too old, keeps logs in their limits."""
        give_up_zombies(self.watch)
        dismiss_mended(self.registry)
        await in_turns(self.registry.keeping_usage(), self.way)
        self.registry.fade()
        now = self.registry.clock()
        old = now - self.settings.history_retention
        gone = await self.writer.run(lambda store: store.prune(ended_before=old, failed_before=old, keep=self.settings.history_max))
        self.registry.roll.drop(gone)
        await asyncio.to_thread(self._forget_launches, gone)
        if gone:
            self.registry.totals.set_counts(await asyncio.to_thread(self.store.status_counts))
        ids = [process_id for process_id, entry in self.registry.entries.items() if entry.process.status.active]
        await self.writer.run(
            lambda store: store.trim_lines(ids, keep_lines=self.settings.log_tail_lines, keep_bytes=self.settings.log_tail_bytes)
        )

    def _forget_launches(self, gone: Sequence[str]) -> None:
        """How these were started, and what was started long ago and is known to nobody: it was never reported."""
        self.launches.remove(gone)
        old = self.launches.older_than(self.settings.history_retention)
        self.launches.remove([one for one in old if one not in self.registry.entries and self.store.get(one) is None])

    async def _every(self, interval: float, work: Callable[[], Awaitable[None]]) -> None:
        """Repeats `work`; an error is logged and the next round comes all the same."""
        while True:
            started = time.monotonic()
            try:
                await work()
            except StoreUnavailable as error:
                log.warning("%s", error.detail)
            except Exception:
                log.exception("%s failed; it is tried again", work.__name__)
            await asyncio.sleep(max(0.05, interval - (time.monotonic() - started)))

    def _failed(self, error: Exception, tokens: Sequence[object]) -> None:
        log.error("changes could not be stored and were undone: %s", error)
        self.registry.commits.undo(tokens)
