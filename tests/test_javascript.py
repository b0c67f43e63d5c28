"""The reporter for Node scripts, run by the real Node against a live exporter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headway import Client
from headway.reporter import spool
from headway.reporter.link import Link
from running import RunningExporter
from scraping import free_port
from waiting import wait_until

MODULE = Path(__file__).parent.parent / "integrations" / "javascript" / "headway.mjs"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


@pytest.fixture
def exporter(shared_exporter: RunningExporter) -> RunningExporter:
    return shared_exporter


@pytest.fixture
def late(tmp_path: Path) -> Iterator[RunningExporter]:
    """One that is not started yet; its address is known."""
    exporter = RunningExporter(tmp_path / "data", port=free_port())
    yield exporter
    if exporter.process is not None:
        exporter.kill()


def begin(script: str, url: str, tmp_path: Path, **environ: str) -> subprocess.Popen[str]:
    head = f"import {{ Reporter, withReporter, track, flush, Cancelled }} from {json.dumps(str(MODULE))};\n"
    (tmp_path / "script.mjs").write_text(head + script)
    env = {**os.environ, "HEADWAY_URL": url, "HEADWAY_SPOOL": str(tmp_path / "spool"), "HEADWAY_INTERVAL": "0.1", **environ}
    words = ["node", "script.mjs", "--token", "hunter2"]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=tmp_path, env=env, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def run(script: str, url: str, tmp_path: Path, **environ: str) -> tuple[int, str, str]:
    child = begin(script, url, tmp_path, **environ)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def one(exporter: RunningExporter, name: str) -> dict[str, Any]:
    client = Client(exporter.url, exporter.key)
    found = client.list(state="all", name=name)
    assert len(found) == 1, found
    return client.get(found[0]["id"])


def seen(client: Client, process_id: str) -> bool:
    return process_id in {row["id"] for row in client.list(state="active")}


def spooled(tmp_path: Path) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "spool").glob("*.ready"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_script_says_everything_and_ends_at_once(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    const run = new Reporter("js import", {type: "pipeline", total: 80, unit: "rows", project: "kira",
      metadata: {model: "m", big: 12n},
      thresholds: {stuckAfter: "5m"}, expectedDuration: "1h", timeout: 7200});
    run.update(40, "first\\nsecond", {stage: "load", metadata: {tokens: {input: 5}}});
    const child = run.child("js part", {type: "subagent"});
    child.advance(3);
    child.advance();
    child.log("\\ud800 <b> é");
    child.done("4 of them");
    run.update(81, null, {total: 81, summary: "81 rows"});
    run.done();
    await run.flush(20);
    console.log(`${process.getActiveResourcesInfo().filter((one) => one === "Timeout").length} timers`);
    """
    code, out, err = run(script, exporter.url, tmp_path)
    assert (code, out, err) == (0, "0 timers\n", ""), "it ends when its last word has arrived"
    found = one(exporter, "js import")
    assert found["status"] == "done" and found["summary"] == "81 rows" and found["project"] == "kira" and found["stage"] == "load"
    assert found["progress"]["current"] == found["progress"]["total"] == 81 and found["progress"]["unit"] == "rows"
    assert found["metadata"] == {"model": "m", "big": "12", "tokens": {"input": 5}} and found["log_tail"] == ["first", "second"]
    assert (found["expected_duration"], found["timeout"], found["thresholds"]["stuck_after"]) == (3600, 7200, 300)
    assert found["command"].endswith("script.mjs --token ***") and found["cwd"] == str(tmp_path)
    child = one(exporter, "js part")
    assert child["parent_id"] == found["id"] and child["project"] == "kira" and child["summary"] == "4 of them"
    assert child["progress"]["current"] == 4 and child["log_tail"] == ["\N{REPLACEMENT CHARACTER} <b> é"]


@pytest.mark.parametrize(
    ("name", "end", "code", "status", "error"),
    [
        ("js falls", "throw new RangeError('row 131')", 1, "failed", "RangeError: row 131"),
        ("js rejects", "Promise.reject(new TypeError('no'))", 1, "failed", "TypeError: no"),
        ("js leaves", "process.exit(3)", 3, "failed", "ended with exit code 3"),
        ("js code", "process.exitCode = 4", 4, "failed", "ended with exit code 4"),
        ("js quiet", "", 0, "done", None),
    ],
)
def test_an_end_that_nobody_said_is_that_of_the_script(
    exporter: RunningExporter, tmp_path: Path, name: str, end: str, code: int, status: str, error: str | None
) -> None:
    script = f"const run = new Reporter({json.dumps(name)}, {{total: 9}}); run.update(5); await run.flush(); {end};"
    given, _, err = run(script, exporter.url, tmp_path)
    assert given == code and ("headway: " not in err or "It is kept in" in err)
    # What was said in the middle of an exit is on the disk; whoever reports next brings it.
    spool.deliver(tmp_path / "spool", Link(exporter.url, exporter.key))
    found = one(exporter, name)
    assert (found["status"], found["error"], found["progress"]["current"]) == (status, error, 5)
    if status == "failed":
        assert found["exit_code"] == code


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "cancelled"), (signal.SIGTERM, "killed")])
def test_signals_end_the_script_as_ever_and_are_told(
    exporter: RunningExporter, tmp_path: Path, number: signal.Signals, status: str
) -> None:
    name = f"js {number.name}"
    child = begin(
        f"const run = new Reporter('{name}'); await run.flush(); console.log('up'); setInterval(() => run.advance(), 50);",
        exporter.url,
        tmp_path,
    )
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    child.send_signal(number)
    assert child.wait(30) == -number
    child.communicate()
    spool.deliver(tmp_path / "spool", Link(exporter.url, exporter.key))
    wait_until(lambda: one(exporter, name)["status"] == status, what=f"{name} to be {status}")


def test_a_script_that_listens_itself_keeps_its_signals(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    process.on("SIGTERM", () => { run.done("tidied up"); clearInterval(timer); });
    const run = new Reporter("js polite");
    const timer = setInterval(() => {}, 1000);
    await run.flush();
    console.log("up");
    """
    child = begin(script, exporter.url, tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0
    child.communicate()
    found = one(exporter, "js polite")
    assert (found["status"], found["summary"]) == ("done", "tidied up")


def test_without_an_exporter_it_ends_as_fast_and_the_end_is_kept(late: RunningExporter, tmp_path: Path) -> None:
    script = "const run = new Reporter('js alone', {total: 2});\n"
    script += "for (let i = 1; i <= 2; i++) run.update(i, `line ${i}`); run.done('both');"
    code, out, err = run(script, late.url, tmp_path)
    assert (code, out) == (0, "") and err.count("headway: ") == len(err.splitlines()) == 1 and "ECONNREFUSED" in err
    kept = spooled(tmp_path)
    assert kept[-1]["status"] == "done" and kept[-1]["log"] == ["line 1", "line 2"] and kept[0]["create"]["name"] == "js alone"
    exporter = late.start()
    delivered, refused = spool.deliver(tmp_path / "spool", Link(exporter.url, exporter.key))
    assert delivered == len(kept) and not refused
    found = one(exporter, "js alone")
    assert (found["status"], found["summary"], found["progress"]["current"]) == ("done", "both", 2)


def test_what_was_said_while_the_exporter_was_away_arrives(late: RunningExporter, tmp_path: Path) -> None:
    script = """
    const run = new Reporter("js patient", {total: 3});
    run.update(2, "early");
    run.child("js brief").done();
    const timer = setInterval(async () => { if (await flush(0.3)) { clearInterval(timer); run.update(3); } }, 100);
    """
    child = begin(script, late.url, tmp_path)
    assert child.stderr is not None and "cannot be reached (ECONNREFUSED)" in child.stderr.readline()
    exporter = late.start()
    assert child.wait(60) == 0
    child.communicate()
    found = one(exporter, "js patient")
    assert (found["status"], found["progress"]["current"], found["log_tail"]) == ("done", 3, ["early"])
    assert one(exporter, "js brief")["status"] == "done"


def test_loops(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    for (const word of track(["a", "b", "c"], {name: "js loop", unit: "words"})) await 0;
    for (const word of track(new Set([1, 2, 3, 4]), {name: "js left"})) if (word === 3) break;
    async function* pages() { yield 1; await null; yield 2; }
    for await (const page of track(pages(), {name: "js pages", total: 2})) await null;
    async function* broken() { yield 1; throw new Error("page 2"); }
    try { for await (const page of track(broken(), {name: "js broken"})); } catch {}
    console.log(await withReporter("js with", {total: 1}, async (run) => { run.update(1); return 7; }));
    try { await withReporter("js without", () => { throw new Error("inside"); }); } catch (error) { console.log(error.message); }
    """
    code, out, err = run(script, exporter.url, tmp_path)
    assert (code, out, err) == (0, "7\ninside\n", "")
    facts = {
        name: (found["status"], found["progress"]["current"], found["summary"] or found["error"])
        for name in ("js loop", "js left", "js pages", "js broken", "js with", "js without")
        if (found := one(exporter, name))
    }
    assert facts == {
        "js loop": ("done", 3, None),
        "js left": ("done", 2, "left after 2 of 4"),
        "js pages": ("done", 2, None),
        "js broken": ("failed", 1, "Error: page 2"),
        "js with": ("done", 1, None),
        "js without": ("failed", None, "Error: inside"),
    }


def test_a_cancel_reaches_the_script(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    await withReporter("js long", {throwOnCancel: true, id: "js-long"}, async (run) => {
      console.log("up");
      for (;;) { run.advance(); await new Promise((go) => setTimeout(go, 20)); }
    }).catch((error) => console.log(error instanceof Cancelled));
    const abort = new Reporter("js fetches", {cancellable: true, id: "js-fetches"});
    abort.signal.addEventListener("abort", () => { console.log("aborted"); abort.cancel(); });
    setTimeout(() => {}, 20000).unref();
    while (!abort.ended) await new Promise((go) => setTimeout(go, 20));
    """
    child = begin(script, exporter.url, tmp_path)
    client = Client(exporter.url, exporter.key)
    for process_id in ("js-long", "js-fetches"):
        wait_until(partial(seen, client, process_id), what=process_id)
        client.cancel(process_id)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "up\ntrue\naborted\n", "")
    assert {client.get(i)["status"] for i in ("js-long", "js-fetches")} == {"cancelled"}


def test_wrong_values_are_left_out_with_one_warning_each(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    const circle = {}; circle.self = circle;
    const run = new Reporter("js wrong", {id: "no spaces", type: "job", totle: 3, total: -1, timeout: "soon", metadata: circle});
    for (let i = 0; i < 3; i++) { run.update("five"); run.update(NaN); run.advance({}); }
    run.update(5, undefined, {stages: "x"});
    await run.flush();
    for (let i = 0; i < 2000; i++) run.log(`${i} ${"x".repeat(9000)}`);
    run.done();
    run.fail("too late");
    new Reporter(" ").done();
    """
    code, out, err = run(script, exporter.url, tmp_path)
    assert (code, out) == (0, "")
    words = (
        "name ignored",
        "there is no option totle",
        "id ignored",
        "type ignored",
        "total ignored",
        "timeout ignored",
        "metadata ignored",
        "current ignored",
        "there is no stages",
    )
    assert [sum(word in line for line in err.splitlines()) for word in words] == [1] * len(words), err
    assert len(err.splitlines()) == len(words)
    found = one(exporter, "js wrong")
    assert (found["status"], found["type"], found["progress"]["current"], found["error"]) == ("done", "task", 5, None)
    assert found["log_tail"][-1].startswith("1999 xxx") and len(found["log_tail"][-1]) == 8192


def test_off_means_nothing_is_said_and_a_foreign_answer_is_named(tmp_path: Path) -> None:
    code, out, err = run(
        "const run = new Reporter('x'); run.update(1); run.done(); console.log(await run.flush());", "off", tmp_path
    )
    assert (code, out, err) == (0, "true\n", "") and not (tmp_path / "spool").exists()


def test_the_types_name_what_there_is() -> None:
    script = f"const m = await import({json.dumps(str(MODULE))}); const names = Object.getOwnPropertyNames(m.Reporter.prototype); "
    script += "console.log(JSON.stringify([Object.keys(m), names]))"
    done = subprocess.run(["node", "--input-type=module", "-e", script], check=True, capture_output=True, text=True, timeout=60)
    exported, methods = json.loads(done.stdout)
    types = MODULE.with_suffix(".d.mts").read_text()
    assert sorted(exported) == ["Cancelled", "Reporter", "flush", "track", "withReporter"]
    for name in [*exported, *methods]:
        assert f" {name}" in types, name


def test_it_waits_for_a_person_until_the_work_is_over(exporter: RunningExporter, tmp_path: Path) -> None:
    script = """
    import readline from "node:readline/promises";
    const run = new Reporter("js asks", {thresholds: {waitingAfter: 0}});
    const lines = readline.createInterface({input: process.stdin});
    const answers = lines[Symbol.asyncIterator]();
    const answer = () => answers.next().then(({value}) => value);
    const both = [run.waiting(" approval\\nof it ", answer), run.waiting("the second", answer)];
    console.log((await both[0]), (await both[1]));
    await run.waiting("the last", () => { throw new Error("no"); }).catch((error) => console.log(error.message));
    lines.close();
    await run.flush();
    run.done();
    """
    child = begin(script, exporter.url, tmp_path)
    client = Client(exporter.url, exporter.key)
    assert child.stdin is not None

    def waits() -> str | None:
        found = client.list(state="waiting", name="js asks")
        return found[0]["waiting_for"] if found else None

    wait_until(lambda: waits() == "the second", 30, "the latest is told")
    child.stdin.write("one\n")
    child.stdin.flush()
    wait_until(lambda: len(client.list(state="running", name="js asks")) == 1 and waits() == "the second", 30, "it still waits")
    child.stdin.write("two\n")
    child.stdin.flush()
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "one two\nno\n"), err
    assert one(exporter, "js asks")["waiting_for"] is None
