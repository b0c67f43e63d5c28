"""History, services and attention in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browsing import Visitor, axe, until_live
from calling import Api, make_key
from serving import Serving, free_port
from waiting import wait_until


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("views")
    port = free_port()
    made = Serving(folder)
    talk = "while :; do printf '\\033[32mtalk\\033[0m <b>\\n'; sleep 0.2; done"
    made.start(
        {
            "web": {"command": ["python3", "-u", "server.py", str(port)], "port": port, "autostart": False, "depends_on": ["db"]},
            "db": {"command": talk, "autostart": False},
        },
        expect={"Nightly dump": {"every": "1h", "grace": "5m"}},
    )
    yield made
    made.end()


@pytest.fixture(scope="module")
def api(serving: Serving) -> Api:
    return Api(serving.exporter, serving.exporter.key)


@pytest.fixture(scope="module")
def operator(browser: Browser, serving: Serving) -> Iterator[Visitor]:
    visitor = Visitor(browser, serving.exporter)
    visitor.sign_in(make_key(serving.exporter, "operator")).close()
    yield visitor
    visitor.close()


def shows(page: Page, names: list[str]) -> None:
    expect(page.locator("#history tbody th a")).to_have_text(names)


def test_the_history_is_filtered_and_paged(api: Api, operator: Visitor) -> None:
    for number in range(60):
        api.create(
            id=f"h{number:02}",
            name=f"Import {number}",
            type="cron" if number % 2 else "task",
            project="shop" if number < 5 else None,
        )
    items = [
        {"id": f"h{n:02}", "status": "failed" if n == 7 else "done", "error": "no <space>" if n == 7 else None} for n in range(60)
    ]
    assert api.request("POST", "/api/processes/batch", {"items": items})[0] == 200
    page = operator.open("/history")
    shows(page, [f"Import {number}" for number in range(59, 9, -1)])
    page.get_by_role("link", name="Older").click()
    shows(page, [f"Import {number}" for number in range(9, -1, -1)])
    page.get_by_role("link", name="Newest").click()
    newest = [f"Import {number}" for number in range(59, 9, -1)]
    shows(page, newest)
    until_live(page)
    page.get_by_label("Status").select_option("failed")
    shows(page, ["Import 7"])
    expect(page.locator("#history .said")).to_have_text("no <space>")
    page.get_by_role("link", name="Clear").click()
    shows(page, newest)
    until_live(page)
    page.get_by_label("Name").fill("import 5")
    page.get_by_label("Type").select_option("cron")
    shows(page, [f"Import {n}" for n in (59, 57, 55, 53, 51, 5)])
    assert "name=import+5" in page.url and "type=cron" in page.url, "the address says it"
    page.goto("/history?project=shop")
    expect(page.locator("#history tbody tr")).to_have_count(5)
    today, tomorrow = date.today(), date.today() + timedelta(days=1)
    page.goto(f"/history?since={today - timedelta(days=1)}&until={tomorrow}&project=shop")
    expect(page.locator("#history tbody tr")).to_have_count(5)
    page.goto(f"/history?since={tomorrow + timedelta(days=1)}")
    shows(page, [])
    expect(page.locator("#empty")).to_contain_text("matches these filters")
    assert api.raw("GET", "/history?since=yesterday", headers={"Accept": "text/html"}).status_code == 422
    refused = api.raw("GET", "/history?type=job", headers={"Accept": "text/html"})
    assert refused.status_code == 422 and "not one of subagent" in refused.text
    page.goto("/history?type=job")
    page.get_by_role("link", name="without these filters").click()
    page.wait_for_url("**/history?")
    expect(page.locator("#history tbody tr")).not_to_have_count(0)
    long = api.create(name="Long before", project="later", started_age=9000)["id"]
    page.goto("/history?project=later")
    until_live(page)
    fresh = api.create(name="Just now", project="later")["id"]
    api.update(fresh, status="done", summary="all of it")
    expect(page.locator("#history .said")).to_have_text("all of it")
    api.update(long, status="failed", error="at last")
    expect(page.locator("#history .said")).to_have_text(["at last", "all of it"])  # the last to end, not the last to begin
    expect(page.locator("#order")).to_contain_text("The last to end stands first")
    assert axe(page) == []
    page.close()


def test_an_end_between_the_page_and_its_script_is_not_missed(api: Api, operator: Visitor) -> None:
    """The scripts of the page come late; what ended meanwhile was told to the other tabs, and this one shall show it too."""
    other = operator.open("/processes")
    page = operator.context.new_page()
    held: list[Route] = []
    page.route("**/js/main.js*", lambda route: held.append(route))  # Playwright sets attributes on what it is given
    page.goto("/history?project=between", wait_until="commit")
    wait_until(lambda: page.evaluate("1") and held, 30, "the script to be asked for", interval=0.1)
    ended = api.create(name="In between", project="between")["id"]
    api.update(ended, status="done", summary="heard of")
    expect(other.locator(f'[data-key="{ended}"]').first).to_have_attribute("data-status", "done")
    held[0].continue_()
    expect(page.locator("#history .said")).to_have_text("heard of", timeout=20_000)
    page.close()
    other.close()


def test_rows_are_whole_and_narrow_screens_do_not_scroll_sideways(api: Api, operator: Visitor) -> None:
    wide = api.create(name="nothing-to-break-at-" * 12, project="narrow")["id"]
    api.update(wide, progress={"current": 1234567, "total": 7654321, "unit": "rows of the archive"})
    past = api.create(name="Over", project="narrow")["id"]
    api.update(past, status="done")
    page = operator.open("/history?project=narrow")
    bottoms = page.locator("#history tbody tr").evaluate("row => [...row.cells].map(cell => cell.getBoundingClientRect().bottom)")
    assert len(set(bottoms)) == 1, "the line above a row is one line, through cells without figures too"
    page.set_viewport_size({"width": 360, "height": 800})
    for path in (f"/processes/{wide}", "/processes", "/history", "/services", "/attention"):
        page.goto(path)
        until_live(page)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
        expect(page.get_by_role("navigation", name="Elsewhere").get_by_role("link", name="API")).to_be_visible()
    page.goto("/processes")
    assert page.locator(f'[data-key="{wide}"] .name').first.evaluate("name => name.clientHeight") < 100, "a long name is cut"
    api.update(wide, status="done")
    page.close()


def service(page: Page, name: str) -> Any:
    return page.locator(f'#services tr[data-key="{name}"]')


def test_services_are_started_restarted_and_stopped(serving: Serving, operator: Visitor) -> None:
    page = operator.open("/services")
    dialog = page.get_by_role("dialog")
    expect(service(page, "web")).to_have_attribute("data-status", "stopped")
    service(page, "web").get_by_role("button", name="Start").click()
    expect(dialog).to_contain_text("what it needs db is started")
    dialog.get_by_role("button", name="Start it").click()
    expect(service(page, "web")).to_have_attribute("data-status", "running")
    expect(service(page, "db")).to_have_attribute("data-status", "running")
    expect(service(page, "web")).to_contain_text("open")
    first = serving.status("web")
    service(page, "web").get_by_role("button", name="Restart").click()
    expect(dialog).to_contain_text(f"web (pid {first['pid']}")
    dialog.get_by_role("button", name="Restart it").click()
    serving.until("web", "running", timeout=30)
    wait_until(lambda: serving.status("web")["pid"] not in (None, first["pid"]), 30, "another process")
    service(page, "db").get_by_role("link", name="Log").click()
    expect(page.locator("#log")).to_contain_text("talk <b>")
    expect(page.locator("#log span").first).to_have_class("c2")
    before = page.locator("#log div").count()
    wait_until(lambda: page.locator("#log div").count() > before, 30, "the log to grow")
    assert axe(page) == []
    page.get_by_role("button", name="Stop all").click()
    expect(dialog).to_contain_text(re.compile(r"This ends:.*db \(pid \d+.*web \(pid \d+", re.S))
    dialog.get_by_role("button", name="Stop all").click()
    for name in ("web", "db"):
        expect(service(page, name)).to_have_attribute("data-status", "stopped")
        assert serving.status(name)["status"] == "stopped"
    expect(page.locator("#counts div", has_text="Stopped").locator("dd")).to_have_text("2")
    page.get_by_role("button", name="Start all").click()
    dialog.get_by_role("button", name="Start all").click()
    for name in ("web", "db"):
        expect(service(page, name)).to_have_attribute("data-status", "running")
    service(page, "web").get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop it").click()
    expect(service(page, "web")).to_have_attribute("data-status", "stopped")
    expect(service(page, "web").get_by_role("button")).to_have_text(["Start"])
    page.close()


def test_runs_that_others_start_are_below_the_services(api: Api, operator: Visitor) -> None:
    page = operator.open("/services")
    row = page.locator('#expected tr[data-key="Nightly dump"]')
    expect(row.locator('[data-label="due"]')).to_have_text(re.compile(r"in \d+m"))
    expect(row.locator('[data-label="last began"]')).to_be_empty()
    expect(row).to_contain_text("every 1h; grace 5m")
    api.create(id="dump-1", name="Nightly dump", type="cron")
    expect(row.locator('[data-label="last began"]')).to_have_text(re.compile(r"\d+s ago"), timeout=20_000)
    api.update("dump-1", status="done")
    expect(row.locator('[data-label="last ended"]')).to_have_text("done", timeout=20_000)
    assert axe(page) == []
    page.close()


def test_services_without_a_key_have_no_buttons(browser: Browser, serving: Serving) -> None:
    stranger = Visitor(browser, serving.exporter)
    page = stranger.open("/services")
    expect(service(page, "web")).to_contain_text("headway logs web")
    assert page.locator("main button").count() == 0
    stranger.close()


def test_attention_follows_what_is_wrong_and_says_what_to_do(api: Api, operator: Visitor) -> None:
    page = operator.open("/attention")
    for number in range(3):
        api.create(id=f"u{number}", name="Slow <one>", started_age=10)
        api.update(f"u{number}", status="done")
    api.create(id="sink", name="Slow <one>", started_age=100)
    row = page.locator('#processes tr[data-key="sink"]')
    expect(row).to_contain_text("time sink")
    api.create(id="broke", name="Broken")
    api.update("broke", status="failed", error="disk full")
    expect(page.locator('#processes tr[data-key="broke"]')).to_contain_text("disk full")
    expect(page.locator("#advice")).to_contain_text("Slow <one>")
    expect(page.locator("#advice code").first).to_contain_text("headway")
    assert axe(page) == []
    api.update("sink", status="done")
    expect(row).to_have_count(0)
    page.close()


def test_failures_of_one_name_are_one_row_and_all_are_dismissed_together(api: Api, operator: Visitor, browser: Browser) -> None:
    for number in range(4):
        api.create(id=f"again{number}", name="Again and again", started_age=600)
        api.update(f"again{number}", status="failed", error=f"no route {number}", age=300 - number)
    api.create(id="stays", name="Again and again", started_age=100, thresholds={"time_sink_ratio": 1}, expected_duration=10)
    stranger = Visitor(browser, operator.exporter)
    other = stranger.open("/attention")
    expect(other.locator("#dismiss-all")).to_have_count(0)
    stranger.close()
    page = operator.open("/attention")
    one = page.locator('#processes tr[data-key="again3"]')
    expect(one).to_contain_text("4 times the first 5m")
    expect(one).to_contain_text("no route 3")
    expect(page.locator("#processes tbody tr", has_text="no route")).to_have_count(1)
    page.get_by_role("button", name="Dismiss all that ended").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Again and again, failed (4 times)")
    assert axe(page) == []
    dialog.get_by_role("button", name="Not now").click()
    assert "again0" in api.list("state=failed")
    # Somebody else was there meanwhile: that is said, and what is left goes.
    page.get_by_role("button", name="Dismiss all that ended").click()
    expect(dialog).to_contain_text("(4 times)")
    page.route("**/api/processes/again0", lambda route: route.fulfill(status=409, json={"detail": "not now"}))
    dialog.get_by_role("button", name="Dismiss them").click()
    expect(page.locator("#told")).to_contain_text("1 not: not now")
    page.unroute("**/api/processes/again0")
    page.get_by_role("button", name="Dismiss all that ended").click()
    dialog.get_by_role("button", name="Dismiss them").click()
    expect(page.locator("#told")).to_have_text("1 process dismissed.")
    expect(page.locator("#processes tbody tr", has_text="no route")).to_have_count(0)
    expect(page.locator('#processes tr[data-key="stays"]')).to_contain_text("time sink")
    expect(page.locator("#dismiss-all")).to_be_hidden()
    assert api.get("again0")["dismissed_at"] and api.get("again0")["status"] == "failed"
    api.update("stays", status="done")
    page.close()


def test_a_row_that_stands_for_several_has_a_button_that_dismisses_just_these(
    api: Api, operator: Visitor, browser: Browser, serving: Serving
) -> None:
    for number in range(5):
        api.create(id=f"fold{number}", name="Fold", started_age=60)
        api.update(f"fold{number}", status="failed", error="no space" if number else "no route", age=30 - number)
    for number in range(2):
        api.create(id=f"fine{number}", name="Fine")
        api.update(f"fine{number}", status="done")
    viewer, reader = Visitor(browser, serving.exporter), make_key(serving.exporter, "viewer")
    for path in ("/processes", "/attention"):
        page = viewer.sign_in(reader, path)
        expect(page.locator('#processes tr[data-key="fold4"]')).to_contain_text("5 times" if path == "/attention" else "4 times")
        expect(page.locator("button.dismiss")).to_have_count(0)
        page.close()
    viewer.close()

    page = operator.open("/processes")
    buttons = page.get_by_role("button", name=re.compile("^Dismiss all"))
    expect(buttons).to_have_count(1)
    button = page.get_by_role("button", name="Dismiss all 4 of Fold")
    assert axe(page) == []
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Dismiss 4 processes that ended?")
    expect(dialog).to_contain_text("Fold, failed (4 times)")
    dialog.get_by_role("button", name="Not now").click()
    expect(dialog).to_be_hidden()
    assert "fold4" in api.list("state=undismissed")
    button.click()
    dialog.get_by_role("button", name="Dismiss them").click()
    expect(page.locator("#told")).to_have_text("4 processes dismissed.")
    expect(page.locator("#processes tbody tr", has_text="no space")).to_have_count(0)
    left = api.list("state=undismissed")
    assert "fold0" in left and not {f"fold{number}" for number in range(1, 5)} & set(left), "another error is another row"

    # What failed meanwhile under the name is of the row of the other page, which lists it before anything is done.
    for number in range(5, 7):
        api.create(id=f"fold{number}", name="Fold")
        api.update(f"fold{number}", status="failed", error="no space")
    page.goto("/attention")
    until_live(page)
    page.get_by_role("button", name="Dismiss all 3 of Fold").click()
    expect(dialog).to_contain_text("Fold, failed (3 times)")
    dialog.get_by_role("button", name="Dismiss them").click()
    expect(page.locator("#told")).to_have_text("3 processes dismissed.")
    expect(page.locator("#processes tbody tr", has_text="Fold")).to_have_count(0)
    assert not any(one.startswith("fold") for one in api.list("state=undismissed"))
    page.close()


def test_an_address_without_a_page_is_a_page_that_leads_on(api: Api, operator: Visitor) -> None:
    for path, words in (("/procesess", "There is no page at this address."), ("/processes/nobody", "there is no process 'nobody'")):
        page = operator.open(path, live=False)
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.locator("main")).to_contain_text(words)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.get_by_role("link", name="History").click()
        page.wait_for_url("**/history")
        page.close()
    answer = api.raw("GET", "/procesess", headers={"Accept": "text/html"})
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
    assert api.request("GET", "/procesess")[1]["detail"] == "there is nothing at this address; /docs lists all calls"
    assert api.request("GET", "/api/nothing", headers={"Accept": "text/html"})[0] == 404
