"""The active view in a real browser: rows that follow the stream, by their key; what others wrote stays text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Visitor, axe, until, until_live
from calling import Api
from headway.api.web.row import row as row_of
from headway.model import Condition, ConditionReport, Severity
from headway.view import Limits, View
from records import T0, process
from running import RunningExporter, Starter
from waiting import wait_until

# Pairs of texts of one row that are printed over each other or touch, as far as they are seen; what is cut off counts no more.
OVERLAPS = """() => [...document.querySelectorAll("#processes tbody tr")].flatMap(row => {
  const boxes = [];
  const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    if (!text.data.trim() || text.parentElement.closest(".sr, template")) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const { left, top, right, bottom } of range.getClientRects()) {
      const box = { text, left, top, right, bottom };
      for (let above = text.parentElement; above !== row; above = above.parentElement) {
        if (getComputedStyle(above).overflow === "visible") continue;
        const clip = above.getBoundingClientRect();
        Object.assign(box, { left: Math.max(box.left, clip.left), right: Math.min(box.right, clip.right),
          top: Math.max(box.top, clip.top), bottom: Math.min(box.bottom, clip.bottom) });
      }
      if (box.right > box.left && box.bottom > box.top) boxes.push(box);
    }
  }
  return boxes.flatMap((one, at) => boxes.slice(at + 1).filter(other => one.text !== other.text &&
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > -2 &&
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1).map(other => [one.text.data, other.text.data]));
})"""
LIMITS = Limits(stuck_after=60.0, time_sink_ratio=2.0, cpu_ratio=0.8, memory_ratio=0.7)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    found = RunningExporter(tmp_path_factory.mktemp("page") / "data", ("--sample-interval", "0.5")).start()
    yield found
    found.kill()


@pytest.fixture
def api(exporter: RunningExporter) -> Iterator[Api]:
    """Leaves nothing in the active view."""
    api = Api(exporter, exporter.key)
    yield api
    ended = [{"id": process_id, "status": "done"} for process_id in api.list("state=active&limit=1000")]
    api.request("POST", "/api/processes/batch", {"items": ended})
    for process_id in api.list("state=failed,killed,orphaned,timed_out&limit=1000"):
        api.raw("DELETE", f"/api/processes/{process_id}")
    api.request("POST", "/api/processes/cleanup", {"older_than": 0})


@pytest.fixture
def visit(browser: Browser, exporter: RunningExporter) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def new(**options: Any) -> Visitor:
        visitors.append(Visitor(browser, exporter, **options))
        return visitors[-1]

    yield new
    for visitor in visitors:
        visitor.close()


def row(page: Page, process_id: str) -> Any:
    return page.locator(f'#processes tr[data-key="{process_id}"]')


def keys(page: Page) -> list[str]:
    found: list[str] = page.locator("#processes tbody tr").evaluate_all("rows => rows.map(row => row.dataset.key)")
    return found


def test_rows_come_change_and_go_without_a_reload(api: Api, visit: Callable[..., Visitor]) -> None:
    page = visit().open("/")
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    api.create(id="backfill", name="NLP Backfill", type="pipeline", project="kira", progress={"total": 80, "unit": "sessions"})
    expect(row(page, "backfill")).to_contain_text("NLP Backfill")
    page.evaluate("window.before = document.querySelector('#processes [data-key=backfill]')")
    api.update("backfill", progress={"current": 51}, log="\x1b[31msession 51\x1b[0m done", stage="embed")
    one = row(page, "backfill")
    expect(one).to_contain_text("51/80 sessions 63%")
    expect(one.locator("progress")).to_have_attribute("value", "63")
    expect(one.locator(".said")).to_have_text("embed · session 51 done")
    expect(one.locator(".elapsed span")).not_to_be_empty()
    expect(page.locator("#counts div", has_text="Running").locator("dd")).to_have_text("1")
    api.create(id="part", name="Part", status="queued", parent_id="backfill")
    api.create(id="dump", name="Nightly dump", type="cron")
    api.update("dump", status="failed", error="disk full", exit_code=1)
    expect(row(page, "dump")).to_have_attribute("data-status", "failed")
    expect(row(page, "dump").locator(".said")).to_have_text("disk full")
    wait_until(lambda: keys(page) == ["dump", "backfill", "part"], 30, "failures first, children under their parents")
    assert row(page, "part").get_attribute("data-depth") == "1"
    expect(page).to_have_title("(1) Active processes · Headway")
    api.update("part", status="cancelled")
    api.update("backfill", status="done", summary="80 sessions, 3 repaired")
    expect(row(page, "backfill").locator(".mark")).to_have_text("✓")
    expect(row(page, "backfill").locator(".said")).to_have_text("80 sessions, 3 repaired")
    expect(row(page, "backfill")).to_contain_text("ago")
    api.raw("DELETE", "/api/processes/dump")
    expect(row(page, "dump")).to_have_count(0)
    assert page.evaluate("window.before === document.querySelector('#processes [data-key=backfill]')"), (
        "written into, not made anew"
    )


def test_the_percentage_is_whole_where_the_count_is_cut(api: Api, visit: Callable[..., Visitor]) -> None:
    api.create(id="many-lines", name="Many lines", progress={"current": 13249, "total": 20000, "unit": "lines of a long name"})
    page = visit(viewport={"width": 1300, "height": 800}).open("/")
    percent = row(page, "many-lines").locator(".figures b")
    expect(percent).to_have_text("66%")
    whole = """b => {
      const right = b.getBoundingClientRect().right;
      return right <= b.parentNode.getBoundingClientRect().right + 1 && right <= b.closest("td").getBoundingClientRect().right + 1;
    }"""
    for width in (1300, 1000, 800):
        page.set_viewport_size({"width": width, "height": 800})
        assert percent.evaluate(whole), width


def test_no_two_texts_of_a_row_are_printed_over_each_other(api: Api, visit: Callable[..., Visitor]) -> None:
    counts = {
        "sync": {"current": 1412344648, "total": 3221225472, "unit": "bytes"},
        "import": {"current": 698312, "total": 2000000, "unit": "customers"},
        "copy": {"current": 106, "total": 300, "unit": "files"},
        "over": {"current": 40000, "total": 40000, "unit": "iterations"},
    }
    for name, progress in counts.items():
        api.create(id=name, name=f"{name} of all the customers of the northern region", project="kira", progress=progress)
    api.update("over", status="done", summary="all")
    visitor = visit(viewport={"width": 360, "height": 800})
    visitor.context.route("**/*.js", lambda route: route.abort())  # what is written into the rows below stays there
    page = visitor.open("/", live=False)
    expect(row(page, "over")).to_have_attribute("data-status", "done")
    for name, per_second, eta, between in (
        ("sync", 12_100_000.0, 147.0, (106.0, 297.0)),
        ("import", 5170.0, 253.0, (91.0, 523.0)),
        ("copy", 0.99, 186.0, None),
    ):
        told = process(name)
        told = replace(told, activity=replace(told.activity, unit=str(counts[name]["unit"])))
        said = row_of(View(process=told, now=T0 + 90, limits=LIMITS, rate=per_second, eta=eta, eta_range=between))
        texts = {key: said[key] for key in ("rate", "left", "left_range")} | {"memory": "29.0 MiB", "cpu": "100%"}
        row(page, name).evaluate(
            "(tr, texts) => { for (const key in texts) tr.querySelector(`[data-text=${key}]`).textContent = texts[key] }", texts
        )
    expect(row(page, "sync").locator(".rate")).to_have_text("692 MiB/min")
    cut = "spans => spans.filter(span => span.scrollWidth > span.clientWidth).map(span => span.textContent)"
    for width in (360, 800, 905, 1001, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERLAPS) == [], f"at {width} px"
        if width in (360, 800, 1280):
            assert page.locator(".figures span").evaluate_all(cut) == [], f"the bar has room that the count needs at {width} px"
            assert row(page, "sync").locator(".figures span").text_content() == "1.32/3.00 GiB"


def test_of_a_stuck_one_the_time_left_is_shown_as_it_grows_as_everywhere_else() -> None:
    stuck = ConditionReport(Condition.STUCK, Severity.WARNING, T0, "no output for 78 s")
    view = View(process=process("a"), now=T0 + 90, limits=LIMITS, rate=0.0, eta=30.0, eta_range=(22.0, 60.0), conditions=(stuck,))
    shown = row_of(view)
    assert (shown["rate"], shown["left"], shown["left_range"]) == ("0/min", "~30s", "22s–1m")
    shown = row_of(replace(view, eta=90.0, eta_range=(22.0, 300.0)))
    assert (shown["left"], shown["left_range"]) == ("~1m 30s", "22s–5m")


def test_all_tabs_of_a_browser_share_one_stream(api: Api, exporter: RunningExporter, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    first, second, third = visitor.open("/"), visitor.open("/attention"), visitor.open("/history")
    api.create(id="shared", name="Seen by all")
    expect(row(first, "shared")).to_be_visible()
    metrics = api.raw("GET", "/metrics").text
    assert "headway_stream_subscribers 1.0" in metrics, [line for line in metrics.splitlines() if "subscribers" in line]
    api.update("shared", status="failed", error="no")
    expect(row(second, "shared")).to_be_visible()
    expect(third.locator('#history tr[data-key="shared"]')).to_be_visible()


def lines_of(page: Page) -> list[list[str]]:
    """Status, name and how many of each row."""
    found: list[list[str]] = page.locator("#processes tbody tr").evaluate_all(
        "rows => rows.map(row => [row.dataset.status, ...['th a', '.times'].map(part => row.querySelector(part).textContent)])"
    )
    return found


def test_repeats_of_a_name_are_one_row_that_lists_them_all(api: Api, visit: Callable[..., Visitor]) -> None:
    def run(name: str, number: int, status: str, **said: Any) -> None:
        api.create(id=f"{name}-{number}", name=name, type="cron", project="shop")
        api.update(f"{name}-{number}", status=status, **said)

    for number in range(3):
        run("probe", number, "done", summary=f"{number} ms")
        run("dump", number, "failed", error=f"/data/part-{number} is full after {12 * number} of 80 files")
    run("dump", 3, "failed", error="no such table")
    api.create(id="busy", name="busy")
    visitor = visit()
    page = visitor.open("/")
    expected = [
        ["failed", "dump", ""],
        ["failed", "dump", "3 times"],
        ["running", "busy", ""],
        ["done", "probe", "3 times"],
    ]
    wait_until(lambda: lines_of(page) == expected, 30, "a row for each, and none for what differs")
    expect(row(page, "probe-2").locator(".said")).to_have_text("2 ms")
    expect(row(page, "dump-2").locator(".said")).to_have_text("/data/part-2 is full after 24 of 80 files")
    assert axe(page) == []
    page.evaluate("window.before = document.querySelector('#processes [data-key=busy]')")
    # They come and go, and so does what a row stands for.
    run("probe", 3, "done", summary="newest")
    wait_until(lambda: lines_of(page)[3] == ["done", "probe", "4 times"], 30, "one more")
    expect(row(page, "probe-3").locator(".said")).to_have_text("newest")
    api.create(id="probe-4", name="probe", type="cron", project="shop")
    wait_until(lambda: ["running", "probe", ""] in lines_of(page), 30, "what runs is a row of its own")
    api.raw("DELETE", "/api/processes/dump-1")
    api.raw("DELETE", "/api/processes/dump-2")
    wait_until(lambda: lines_of(page).count(["failed", "dump", ""]) == 2, 30, "the last of its kind stands for itself")
    assert page.evaluate("window.before === document.querySelector('#processes [data-key=busy]')"), "rows are not made anew"
    # Who looks for one of them sees each.
    page.get_by_label("Filter").fill("probe")
    expect(row(page, "probe-0")).to_be_visible()
    assert page.locator("#processes tbody tr:not([hidden])").count() == 5
    page.get_by_label("Filter").fill("")
    expect(row(page, "probe-0")).to_have_count(0)
    api.create(id="other", name="probe two", type="cron", project="shop")
    api.update("other", status="done")
    link = row(page, "probe-3").get_by_role("link", name="4 times: list all of probe")
    link.click()
    page.wait_for_url("**/history?name=probe&exact=true&type=cron&status=done&project=shop")
    expect(page.locator("#history tbody tr")).to_have_count(4)
    assert len(api.request("GET", "/processes", headers={"Accept": "application/json"})[1]["data"]["rows"]) == 9


def test_repeats_are_one_row_without_a_script_and_without_the_stream(api: Api, visit: Callable[..., Visitor]) -> None:
    for number in range(3):
        api.create(id=f"again-{number}", name="again")
        api.update(f"again-{number}", status="done")
    plain = visit(java_script_enabled=False).open("/", live=False)
    assert lines_of_text(plain) == ["3 times"]
    visitor = visit()
    visitor.context.add_init_script("delete window.SharedWorker")
    visitor.context.route("**/live", lambda route: route.abort())
    page = visitor.open("/", live=False)
    expect(page.locator("#connection")).to_have_text("polling")
    for number in range(3, 5):
        api.create(id=f"again-{number}", name="again")
        api.update(f"again-{number}", status="done")
    wait_until(lambda: lines_of(page) == [["done", "again", "5 times"]], 30, "all in one row")


def lines_of_text(page: Page) -> list[str]:
    return page.locator("#processes tbody tr .times").all_text_contents()


def test_what_others_wrote_stays_text(api: Api, visit: Callable[..., Visitor]) -> None:
    api.create(id="before", name=HOSTILE, project=HOSTILE)
    page = visit().open("/")
    api.create(id="after", name=HOSTILE, progress={"current": 1, "total": 2, "unit": HOSTILE[:60]})
    api.update("after", log=[f"\x1b]0;title\x07\x1b[2J{HOSTILE}\u202e", "x" * 1_000_000, HOSTILE])
    api.create(id="ended", name=HOSTILE)
    api.update("ended", status="failed", error=HOSTILE)
    for name in ("before", "after", "ended"):
        expect(row(page, name).locator("th a")).to_have_text(HOSTILE)
    expect(row(page, "after").locator(".said")).to_contain_text("<script>")
    expect(row(page, "ended").locator(".said")).to_contain_text("<img src=x")
    assert page.locator("main script, main img").count() == 0 and page.title() != "owned"
    for path in ("/attention", "/processes/after", "/history"):
        page.goto(path)
        until_live(page)
        expect(page.locator("main")).to_contain_text("<script>")
        assert page.locator("main script, main img").count() == 0 and page.title() != "owned"


def test_a_thousand_rows_are_changed_one_by_one(api: Api, visit: Callable[..., Visitor]) -> None:
    items = [
        {"id": f"p{n}", "create": {"name": f"Job {n}", "type": "task", "progress": {"total": 100, "unit": "rows"}}}
        for n in range(1000)
    ]
    api.request("POST", "/api/processes/batch", {"items": items})
    page = visit().open("/")
    expect(page.locator("#processes tbody tr")).to_have_count(1000)
    page.evaluate(
        """() => {
            window.rows = new Map([...document.querySelectorAll('#processes tbody tr')].map((row) => [row.dataset.key, row]));
            window.added = 0;
            new MutationObserver((changes) => { for (const change of changes) window.added += change.addedNodes.length; })
                .observe(document.querySelector('#processes tbody'), { childList: true });
            window.longest = 0;
            new PerformanceObserver((list) => {
                for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
            }).observe({ type: 'longtask' });
        }"""
    )
    for turn in range(1, 6):
        for part in range(0, 1000, 500):
            some = [{"id": f"p{n}", "progress": {"current": turn * 10}, "log": f"row {turn}"} for n in range(part, part + 500)]
            assert api.request("POST", "/api/processes/batch", {"items": some})[0] == 200
        page.mouse.wheel(0, 4000)
    until(page, "[...document.querySelectorAll('#processes tbody .figures')].every((one) => one.textContent === '50/100 rows 50%')")
    added, same, longest = page.evaluate(
        """[window.added, [...window.rows].every(([key, row]) => row === document.querySelector(`#processes [data-key=${key}]`)),
            window.longest]"""
    )
    print(f"longest task with 1,000 rows: {longest:.0f} ms")
    assert (added, same) == (0, True), "no row was drawn anew"
    assert row(page, "p500").evaluate("row => getComputedStyle(row).contentVisibility") == "auto"
    page.get_by_label("Filter").fill("job 770")
    until(page, "document.querySelectorAll('#processes tbody tr:not([hidden])').length === 1")


def test_the_page_over_a_restart_of_the_exporter(api: Api, exporter: RunningExporter, visit: Callable[..., Visitor]) -> None:
    api.create(id="stays", name="Stays")
    page = visit().open("/")
    exporter.kill()
    expect(page.locator("#connection")).to_contain_text("no connection")
    expect(row(page, "stays")).to_be_visible()
    exporter.start()
    fresh = Api(exporter, exporter.key)
    fresh.create(id="later", name="New after the restart")
    fresh.update("stays", progress={"current": 3, "total": 4, "unit": "parts"})
    expect(page.locator("#connection")).to_have_text("live")
    expect(row(page, "later")).to_be_visible()
    expect(row(page, "stays")).to_contain_text("3/4 parts")


def test_without_the_stream_it_looks_every_two_seconds(api: Api, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    # A shared worker's requests cannot be refused from here; a browser without one works in the page itself.
    visitor.context.add_init_script("delete window.SharedWorker")
    visitor.context.route("**/live", lambda route: route.abort())
    page = visitor.open("/", live=False)
    expect(page.locator("#connection")).to_have_text("polling")
    api.create(id="polled", name="Polled")
    expect(row(page, "polled")).to_be_visible()
    api.update("polled", status="done", summary="seen")
    expect(row(page, "polled").locator(".said")).to_have_text("seen")
    visitor.context.unroute("**/live")
    expect(page.locator("#connection")).to_have_text("live")


def test_who_signs_out_in_one_tab_sees_nothing_more_in_the_others(browser: Browser, start_exporter: Starter) -> None:
    closed = start_exporter("--anonymous", "none", "--sample-interval", "0.5")
    admin = Api(closed, closed.key)
    visitor = Visitor(browser, closed)
    first = visitor.sign_in(closed.key)
    second = visitor.open("/history")
    second.get_by_role("button", name="Sign out").click()
    second.wait_for_url("**/login")
    expect(first.locator("#connection")).to_have_text("signed out: sign in again")
    admin.create(id="unseen", name="Unseen")
    first.locator("#connection a").click()
    first.wait_for_url("**/login?next=*")
    first.get_by_label("Key").fill(closed.key)
    first.get_by_role("button", name="Sign in").click()
    expect(row(first, "unseen")).to_be_visible()
    visitor.close()


def test_without_a_script_the_page_is_rendered_and_loads_itself_anew(api: Api, visit: Callable[..., Visitor]) -> None:
    api.create(id="plain", name="Plain", progress={"current": 1, "total": 4, "unit": "parts"})
    page = visit(java_script_enabled=False).open("/", live=False)
    expect(row(page, "plain")).to_contain_text("1/4 parts 25%")
    expect(page.locator("meta[http-equiv=refresh]")).to_have_attribute("content", "5")
    assert not page.get_by_label("Filter").is_visible() and not page.locator("#connection").is_visible()


def test_by_keyboard_alone(api: Api, visit: Callable[..., Visitor]) -> None:
    for number in range(3):
        api.create(id=f"k{number}", name=f"Key {number}")
    page = visit().open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Filter")).to_be_focused()
    page.keyboard.type("key 1")
    expect(row(page, "k2")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(row(page, "k2")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(row(page, "k2").locator("th a")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/processes/k2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_and_wide_light_and_dark(api: Api, visit: Callable[..., Visitor], scheme: str) -> None:
    api.create(
        id="long", name="A name that is much longer than a phone is wide " * 3, progress={"current": 5, "total": 9, "unit": "x"}
    )
    api.create(id="bad", name="Broken" * 30)
    api.update("bad", status="failed", error="/very/long/path" * 20)
    page = visit(color_scheme=scheme, viewport={"width": 360, "height": 740}).open("/")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(json.loads(f"[{ground[4:-1]}]")) < 384) == (scheme == "dark")
    for width in (360, 800, 1280, 2200) if scheme == "light" else (360,):
        page.set_viewport_size({"width": width, "height": 740})
        for path in ("/", "/attention", "/history", "/processes/long", "/services"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"
    page.set_viewport_size({"width": 1280, "height": 740})
    for path in ("/", "/attention", "/history", "/processes/long", "/processes/bad?cancel", "/services", "/login"):
        page.goto(path)
        if path != "/login":
            until_live(page)
        assert axe(page) == [], path


def test_the_script_reckons_and_orders_as_the_exporter_does(visit: Callable[..., Visitor]) -> None:
    from headway.api.web.row import folded, nested, path
    from headway.durations import format_duration

    page = visit().open("/services", live=False)
    seconds = [0, 0.04, 0.05, 0.4, 9.94, 9.95, 10.5, 11.5, 59.4, 59.6, 60, 61, 3599.4, 3600, 7199, 86399, 86400, 90000, 9e5, 1e7]
    there = page.evaluate(
        "async (all) => { const {duration} = await import('/static/js/clock.js'); return all.map(duration) }", seconds
    )
    assert there == [format_duration(one) for one in seconds]
    points = [0.0, 0.5, 1.25, 0.1]
    line = page.evaluate("async (all) => (await import('/static/js/bind.js')).path(all, 0.25)", points)
    assert line == path(points, 0.25)
    rows = [
        {"id": f"r{n}", "parent": parent, "rank": rank, "created": n}
        for n, (parent, rank) in enumerate(
            [(None, 2), ("r0", 0), (None, 1), ("r1", 3), ("gone", 4), ("r6", 2), ("r5", 2), ("r7", 2)]
        )
    ]
    order = page.evaluate(
        "async (rows) => (await import('/static/js/order.js')).nested(new Map(rows.map((row) => [row.id, row])))", rows
    )
    assert order == [[found["id"], depth] for found, depth in nested(rows)]
    ends = [
        {**found, "ended": None if n % 3 else 9.0, "status": "done", "name": "x", "about": "", "error": ""}
        for n, found in enumerate(rows)
    ]
    ends += [
        {**ends[0], "id": f"e{n}", "created": n, "ended": 1.0, "parent": parent, "status": status, "rank": rank, "error": error}
        for n, (parent, status, rank, error) in enumerate(
            [
                *[(None, "done", 4, ""), (None, "done", 4, ""), ("gone", "done", 4, ""), (None, "failed", 0, "a")],
                *[(None, "failed", 0, "b"), (None, "failed", 0, "a"), ("r1", "done", 4, ""), ("r1", "done", 4, "")],
                *[(None, "killed", 0, ""), (None, "killed", 4, ""), ("e0", "failed", 0, "a")],
            ]
        )
    ]
    lines = page.evaluate(
        "async (rows) => (await import('/static/js/order.js')).folded(new Map(rows.map((row) => [row.id, row])))", ends
    )
    lines = [[id, depth, len(ids)] for id, depth, ids in lines]
    assert lines == [[found["id"], depth, number] for found, depth, number in folded(nested(ends))]
    assert sum(number for _, _, number in lines) == len(ends) > len(lines)
    assert sorted(found["id"] for found, _ in nested(rows)) == sorted(str(found["id"]) for found in rows), "loops are shown too"


def test_pages_and_their_script_are_sent_with_a_strict_policy(api: Api) -> None:
    for path in ("/", "/history", "/attention", "/services", "/login"):
        answer = api.raw("GET", path, headers={"Accept": "text/html"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert answer.text.count("<script") == 1 and " style=" not in answer.text and " on" not in answer.text.split("<body")[0]
    script = api.raw("GET", "/static/js/main.js")
    assert script.headers["cache-control"] == "no-cache" and "javascript" in script.headers["content-type"]
    unchanged = {"If-None-Match": script.headers["etag"]}
    assert api.raw("GET", "/static/js/main.js", headers=unchanged).status_code == 304
