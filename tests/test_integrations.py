"""Drop-ins with the real tqdm, rich and logging: script and terminal are as before, and a process of Headway runs beside them."""

from __future__ import annotations

import gc
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tqdm.std
from rich.console import Console

from headway import Cancelled, Reporter
from headway.integrations.following import MOST_NESTED
from headway.integrations.logging import ReporterHandler
from headway.integrations.rich import Progress, plain
from headway.integrations.rich import track as rich_track
from headway.integrations.tqdm import tqdm as bar
from headway.integrations.tqdm import trange
from live_stack import free_ports
from recording_server import RecordingServer
from reporting import run_script
from waiting import wait_until


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def ended(server: RecordingServer, name: str) -> dict[str, object]:
    """Its last word, and all that was said of it."""
    process_id = server.by_name(name)
    final = server.final(process_id)
    return {**server.state(process_id), "status": final["status"], "created": server.creation(process_id)}


# ── tqdm: how it counts ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_loop_is_drawn_and_reported(server: RecordingServer, screen: io.StringIO) -> None:
    shown = bar([5, 6, 7], desc="Compress: ", unit="files", file=screen, mininterval=0)
    assert isinstance(shown, tqdm.std.tqdm) and len(shown) == 3 and bool(shown)
    assert list(shown) == [5, 6, 7]
    assert "Compress" in screen.getvalue() and "3/3" in screen.getvalue() and shown.n == 3
    said = ended(server, "Compress")
    assert said["created"]["progress"] == {"current": 0, "total": 3, "unit": "files"}  # type: ignore[index]
    assert (said["status"], said["progress"]["current"]) == ("done", 3) and "summary" not in said  # type: ignore[index]


def test_updates_by_hand_with_a_start_that_is_not_zero(server: RecordingServer, screen: io.StringIO) -> None:
    with bar(total=100, initial=40, desc="resumed", file=screen, mininterval=0) as shown:
        for _ in range(6):
            shown.update(10)
    said = ended(server, "resumed")
    assert said["created"]["progress"] == {"current": 40, "total": 100, "initial": 40}  # type: ignore[index]
    assert said["progress"]["current"] == 100 and said["status"] == "done"  # type: ignore[index]
    assert "100/100" in screen.getvalue()


def test_what_was_counted_is_seen_while_it_goes_on(server: RecordingServer, screen: io.StringIO) -> None:
    shown = bar(total=10, desc="half", file=screen, mininterval=3600)  # it draws next in an hour
    shown.update(5)
    process_id = server.by_name("half")
    wait_until(lambda: server.state(process_id)["progress"].get("current") == 5, what="the count")
    iterated = iter(bar(range(10), desc="loop", file=screen, mininterval=3600))
    for _ in range(4):
        next(iterated)
    of_loop = server.by_name("loop")
    wait_until(lambda: server.state(of_loop)["progress"].get("current") == 3, what="the count of the loop")
    assert server.creation(of_loop)["parent_id"] == process_id
    shown.close()
    assert ended(server, "half")["summary"] == "left after 5 of 10"


def test_without_a_total(server: RecordingServer, screen: io.StringIO) -> None:
    list(bar((n for n in range(4)), desc="unknown", file=screen))
    said = ended(server, "unknown")
    assert said["progress"] == {"current": 4} and said["status"] == "done"
    with bar(desc="endless", total=float("inf"), file=screen) as shown:
        shown.update(3)
        shown.total = 7
        shown.refresh()
    assert ended(server, "endless")["progress"] == {"current": 3, "total": 7}


@pytest.mark.parametrize("by_hand", (False, True))
def test_a_disabled_bar_reports_all_the_same(server: RecordingServer, screen: io.StringIO, by_hand: bool) -> None:
    """As in a cron job, where disable=None draws nothing."""
    if by_hand:
        with bar(total=3, desc="cron", disable=True, unit="rows", file=screen) as shown:
            for _ in range(3):
                shown.update()
    else:
        list(bar(range(3), desc="cron", disable=None, unit="rows", file=screen))
    said = ended(server, "cron")
    assert said["progress"] == {"current": 3, "total": 3, "unit": "rows"} and said["status"] == "done"
    assert screen.getvalue() == ""


def test_description_and_postfix(server: RecordingServer, screen: io.StringIO) -> None:
    for _ in (shown := trange(2, desc="train", file=screen, report={"type": "pipeline", "project": "vision"})):
        shown.set_description("epoch 2")
        shown.set_postfix(loss=0.25)
    said = ended(server, "train")
    assert (said["created"]["type"], said["created"]["project"]) == ("pipeline", "vision")  # type: ignore[index]
    assert said["stage"] == "epoch 2" and "loss=0.25" in screen.getvalue()
    metadata = [item["metadata"] for item in server.of(server.by_name("train")) if "metadata" in item]
    assert metadata[-1] == {"postfix": "loss=0.25"}


def test_not_reported_when_not_wanted(server: RecordingServer, screen: io.StringIO) -> None:
    assert list(bar(range(3), desc="private", file=screen, report=False)) == [0, 1, 2]
    list(bar(range(1), desc="next", file=screen))
    server.by_name("next")
    assert "private" not in str(server.items)


def test_bars_in_bars(server: RecordingServer, screen: io.StringIO) -> None:
    for _ in bar(range(2), desc="epochs", file=screen, report={"project": "vision"}):
        for _ in bar(range(3), desc="batches", file=screen, leave=False):
            pass
        for _ in bar(range(3), file=screen, leave=False):
            pass
    list(bar(range(1), desc="afterwards", file=screen))
    outer = server.by_name("epochs")
    server.final(server.by_name("afterwards"))
    creations = [item["create"] for item in server.items if "create" in item]
    inner = [one for one in creations if one.get("parent_id") == outer]
    assert sorted(one["name"] for one in inner) == ["batches", "batches", "epochs, nested", "epochs, nested"]
    assert {one["project"] for one in inner} == {"vision"}
    assert "parent_id" not in server.creation(server.by_name("afterwards"))


def test_thousands_of_short_bars_are_not_thousands_of_processes(server: RecordingServer, screen: io.StringIO) -> None:
    for _ in bar(range(MOST_NESTED + 50), desc="files", file=screen, mininterval=60):
        assert list(bar(range(2), desc="chunks", file=screen, leave=False, mininterval=60)) == [0, 1]
    said = ended(server, "files")
    chunks = [item for item in server.items if item.get("create", {}).get("name") == "chunks"]
    assert len(chunks) == MOST_NESTED
    assert said["log"] == [f"more than {MOST_NESTED} bars in this one: those that follow are not reported"]


# ── tqdm: how it ends ───────────────────────────────────────────────────────────────────────────────────────────────


def test_left_by_break(server: RecordingServer, screen: io.StringIO) -> None:
    for n in bar(range(10), desc="left", file=screen):
        if n == 3:
            break
    said = ended(server, "left")
    assert (said["status"], said["summary"]) == ("done", "left after 3 of 10")


def test_an_exception_in_a_block(server: RecordingServer, screen: io.StringIO) -> None:
    with pytest.raises(ValueError), bar(total=10, desc="block", file=screen) as shown:
        shown.update(4)
        raise ValueError("no such file")
    said = ended(server, "block")
    assert (said["status"], said["error"], said["progress"]["current"]) == ("failed", "ValueError: no such file", 4)  # type: ignore[index]


def test_an_exception_of_the_iterable(server: RecordingServer, screen: io.StringIO) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError):
        list(bar(broken(), desc="iterable", total=5, file=screen))
    said = ended(server, "iterable")
    assert (said["status"], said["error"]) == ("failed", "OSError: the disk is gone")


def test_dropped_without_a_word(server: RecordingServer, screen: io.StringIO) -> None:
    shown = bar(total=4, desc="dropped", file=screen)
    shown.update(1)
    del shown
    gc.collect()
    said = ended(server, "dropped")
    assert (said["status"], said["summary"]) == ("done", "left after 1 of 4")


@pytest.mark.parametrize(
    "body",
    (
        "for n in tqdm(range(10), desc='job'):\n    if n == 4: raise RuntimeError('no space left')",
        "bar = tqdm(total=10, desc='job')\nbar.update(4)\nraise RuntimeError('no space left')",
        "bar = tqdm(total=10, desc='job')\ntry:\n    bar.update(4); raise RuntimeError('no space left')\nfinally:\n    bar.close()",
    ),
    ids=("loop", "by hand", "closed in finally"),
)
def test_an_exception_that_ends_the_script(server: RecordingServer, tmp_path: Path, body: str) -> None:
    done = run_script(f"from headway.integrations.tqdm import tqdm\n{body}", server, tmp_path / "spool")
    assert done.returncode == 1 and "no space left" in done.stderr and "4/10" in done.stderr
    said = ended(server, "job")
    assert said["status"] == "failed" and said["error"] == "RuntimeError: no space left"


def test_the_exporter_is_away(tmp_path: Path) -> None:
    code = """
    from headway.integrations.tqdm import tqdm
    from headway.integrations.rich import track
    print(sum(tqdm(range(1000), desc="job")), sum(track(range(1000), "job")))
    """
    done = run_script(code, f"http://127.0.0.1:{free_ports(1)[0]}", tmp_path / "spool", HEADWAY_EXIT_WAIT="0")
    assert done.returncode == 0 and "499500 499500" in done.stdout and "1000/1000" in done.stderr


def test_asked_to_cancel(server: RecordingServer, screen: io.StringIO) -> None:
    def endless() -> Iterator[int]:
        yield 0
        server.cancel.add(server.by_name("asked"))
        while True:
            yield 1

    with pytest.raises(Cancelled):
        for _ in bar(endless(), desc="asked", file=screen, report={"raise_on_cancel": True}):
            pass
    assert ended(server, "asked")["status"] == "cancelled"


# ── rich ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def console(screen: io.StringIO) -> Console:
    return Console(file=screen, force_terminal=True, width=100)


def test_rich_a_loop(server: RecordingServer, screen: io.StringIO, console: Console) -> None:
    assert list(rich_track([1, 2, 3], "[green]Compress[/]…", console=console)) == [1, 2, 3]
    said = ended(server, "Compress")
    assert said["created"]["progress"] == {"current": 0, "total": 3} and said["progress"]["current"] == 3  # type: ignore[index]
    assert said["status"] == "done" and "100%" in screen.getvalue()
    for n in rich_track(range(10), "left", console=console):
        if n == 2:
            break
    assert ended(server, "left")["summary"] == "left after 2 of 10"
    assert list(rich_track(iter("ab"), "silent", console=console, disable=True, report=False)) == ["a", "b"]
    assert "silent" not in str(server.items)


@pytest.mark.parametrize(("text", "name"), [("Working...", ""), ("[b]a[/b]: ", "a"), ("[/not markup", "[/not markup"), ("", "")])
def test_rich_names(text: str, name: str) -> None:
    assert plain(text) == name


def test_rich_a_process_for_each_task(server: RecordingServer, console: Console) -> None:
    with Progress(console=console, report={"project": "web"}) as shown:
        first = shown.add_task("[red]download", total=10)
        second = shown.add_task("unpack", total=None, start=False)
        shown.update(first, advance=4)
        one, two = server.by_name("download"), server.by_name("unpack")
        wait_until(lambda: server.state(one)["progress"].get("current") == 4, what="the count")
        assert server.creation(two)["status"] == "queued"
        shown.update(first, completed=10, description="downloaded")
        assert server.final(one)["status"] == "done", "it is complete, though the display goes on"
        assert server.state(one)["stage"] == "downloaded" and server.creation(one)["project"] == "web"
        shown.start_task(second)
        shown.update(second, total=5)
        shown.advance(second, 2)
        wait_until(lambda: server.state(two)["progress"].get("total") == 5, what="the total")
        third = shown.add_task("gone", total=3)
        shown.remove_task(third)
    said = ended(server, "unpack")
    assert said["statuses"] == ["running", "done"] and said["summary"] == "left after 2 of 5"
    assert ended(server, "gone")["summary"] == "left after 0 of 3"


def test_rich_an_exception(server: RecordingServer, console: Console) -> None:
    with pytest.raises(ValueError), Progress(console=console) as shown:
        finished, other = shown.add_task("finished", total=2), shown.add_task("other", total=2)
        shown.advance(finished, 2)
        for _ in shown.track(range(5), description="in a loop"):
            shown.advance(other)
            raise ValueError("no such page")
    assert ended(server, "finished")["status"] == "done"
    for name in ("other", "in a loop"):
        said = ended(server, name)
        assert (said["status"], said["error"]) == ("failed", "ValueError: no such page")


# ── logging ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_records_are_lines(server: RecordingServer) -> None:
    run = Reporter("logs")
    handler = ReporterHandler(run, "INFO")
    logger = logging.getLogger("crawler")
    logger.setLevel("DEBUG")
    logger.addHandler(handler)
    try:
        logger.debug("too small a matter")
        logger.info("page %d", 7)
        try:
            raise KeyError("title")
        except KeyError:
            logger.exception("no title")
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.warning("last")
    finally:
        logger.removeHandler(handler)
    run.done()
    server.final(run.id)
    log = server.state(run.id)["log"]
    assert log[:2] == ["INFO crawler: page 7", "ERROR crawler: no title"] and log[-2:] == ["KeyError: 'title'", "last"]


def test_sending_is_not_logged_into_what_is_sent(server: RecordingServer, tmp_path: Path) -> None:
    code = """
    import logging, time
    from headway import Reporter
    from headway.integrations.logging import ReporterHandler
    run = Reporter("all of it")
    logging.basicConfig(level="DEBUG", handlers=[ReporterHandler(run, "DEBUG")])
    for number in range(10):
        logging.debug("step %d", number)
        time.sleep(0.1)
    logging.getLogger("headway").warning("of the reporter")
    run.done()
    """
    assert run_script(code, server, tmp_path / "spool").returncode == 0
    server.final(server.by_name("all of it"))
    assert server.state(server.by_name("all of it"))["log"] == [f"DEBUG root: step {n}" for n in range(10)]


def test_a_wrong_word_in_report_is_said_and_the_bar_goes_on(
    server: RecordingServer, screen: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(bar(range(3), desc="typo", file=screen, report={"typ": "cron", "project": "p"})) == [0, 1, 2]
    said = ended(server, "typo")
    assert (said["status"], said["created"]["project"]) == ("done", "p")  # type: ignore[index]
    wait_until(lambda: "typ in report of 'typo' ignored: Reporter takes" in caplog.text, timeout=20, what="the warning")


@pytest.mark.parametrize("package", ["tqdm", "rich"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(package: str) -> None:
    hidden = f"import sys; sys.modules['{package}'] = None; import headway.integrations.{package}"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ModuleNotFoundError: headway.integrations.{package} needs {package}: pip install {package}"
