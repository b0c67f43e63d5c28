"""The page of one process in a real browser: its output as it grows, its tree, and every button on real processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Visitor, until, until_live
from calling import Api, make_key
from osprocesses import runs
from running import RunningExporter
from waiting import wait_until

COUNTING = "i=0; while :; do i=$((i+1)); printf 'red line %d of <b>many</b>\\n' $i; sleep 0.2; done"


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    found = RunningExporter(tmp_path_factory.mktemp("page") / "data", ("--sample-interval", "0.5")).start()
    yield found
    Api(found, found.key).request("POST", "/api/processes/kill", {"scope": {"type": "all"}, "grace": 0})
    found.kill()


@pytest.fixture(scope="module")
def admin(exporter: RunningExporter) -> Api:
    return Api(exporter, exporter.key)


@pytest.fixture(scope="module")
def operator(browser: Browser, exporter: RunningExporter) -> Iterator[Visitor]:
    """Signed in with a key of the role operator."""
    visitor = Visitor(browser, exporter)
    visitor.sign_in(make_key(exporter, "operator")).close()
    yield visitor
    visitor.close()


def track(admin: Api, name: str, command: str = COUNTING, **more: Any) -> str:
    status, body = admin.request("POST", "/api/processes/track", {"command": command, "name": name, **more})
    assert status == 201, body
    process_id: str = body["data"]["id"]
    wait_until(lambda: admin.get(process_id)["pid"], 30, "its pid")
    return process_id


def button(page: Page, name: str) -> Any:
    return page.locator("#actions").get_by_role("button", name=name)


def confirm(page: Page, name: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=name).click()


@pytest.fixture
def counting(admin: Api) -> Iterator[Callable[..., str]]:
    started: list[str] = []

    def start(name: str, **more: Any) -> str:
        started.append(track(admin, name, **more))
        return started[-1]

    yield start
    for process_id in started:
        admin.request("POST", f"/api/processes/{process_id}/kill", {"grace": 0})


def test_output_is_followed_and_searched(operator: Visitor, counting: Callable[..., str]) -> None:
    page = operator.open(f"/processes/{counting('Talker')}")
    log = page.locator("#log")
    expect(log).to_contain_text("red line 12 of <b>many</b>")
    assert log.locator("b, script").count() == 0 and "\x1b" not in (log.text_content() or "")
    until(page, "(log => log.scrollHeight <= log.clientHeight || log.scrollTop > 0)(document.getElementById('log'))")
    page.keyboard.press("/")
    page.keyboard.type("line 7 ")
    expect(page.locator("#logbar .found")).to_have_text("1 of 1")
    expect(log.locator(".hit")).to_have_text("red line 7 of <b>many</b>")
    page.get_by_label("only matches").check()
    expect(log.locator("div").first).to_be_hidden()
    page.keyboard.press("Escape")
    page.get_by_label("Search the output").fill("")
    expect(log.locator("div").first).to_be_visible()
    before = log.locator("div").count()
    wait_until(lambda: log.locator("div").count() > before, 30, "more lines")
    texts = log.locator("div").all_text_contents()
    assert [int(text.split()[2]) for text in texts] == list(range(1, len(texts) + 1)), "each line once, in order"
    page.close()


def test_output_has_its_colours_and_no_other_power(admin: Api, operator: Visitor) -> None:
    admin.create(id="painter", name="Painter")
    page = operator.open("/processes/painter")
    log = page.locator("#log")
    hostile = (
        "\x1b[2J\x1b]0;owned\x07\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[0m \x1b[38;2;1;2;3mink\x1b[m <script>\u202e\x1b[999m"
    )
    admin.update("painter", log=["plain", hostile, "\x1b[32m" + "x" * 1_000_000])
    expect(log.locator("div")).to_have_count(3)
    expect(log.locator("div").nth(1)).to_have_text(" red orange ink <script> ", use_inner_text=False)
    expect(log.locator("span")).to_have_text(["red", "orange", "ink", re.compile("^x{8000,}")])
    colours = [one.evaluate("one => getComputedStyle(one).color") for one in log.locator("span").all()[1:3]]
    assert colours == ["rgb(255, 135, 0)", "rgb(1, 2, 3)"]
    expect(log.locator("span").first).to_have_class("b c1")
    assert page.title() == "Painter · Headway" and log.locator("script").count() == 0
    page.close()


def test_output_goes_on_where_it_was_over_a_restart(
    exporter: RunningExporter, operator: Visitor, counting: Callable[..., str]
) -> None:
    page = operator.open(f"/processes/{counting('Lasting')}")
    log = page.locator("#log")
    expect(log).to_contain_text("red line 5 of")
    exporter.kill()
    expect(page.locator("#connection")).to_contain_text("no connection")
    exporter.start()
    until_live(page)
    last = int(log.locator("div").last.text_content().split()[2])  # type: ignore[union-attr]
    expect(log).to_contain_text(f"red line {last + 10} of")
    texts = log.locator("div").all_text_contents()
    numbers = [int(text.split()[2]) for text in texts if text.startswith("red")]
    assert numbers == list(range(1, len(numbers) + 1)), "no line lost and none twice"
    page.close()


def test_a_process_is_paused_resumed_killed_and_run_again(admin: Api, operator: Visitor, counting: Callable[..., str]) -> None:
    process_id = counting("Worker", command="sleep 300 & sleep 300; wait")
    wait_until(lambda: len(psutil.Process(admin.get(process_id)["pid"]).children()) == 2, 30, "its children")
    page = operator.open(f"/processes/{process_id}")
    pid = admin.get(process_id)["pid"]
    root = psutil.Process(pid)
    expect(page.locator("#tree tbody")).to_contain_text(str(pid))
    expect(page.locator("#tree tbody tr[data-status=os]")).to_have_count(3)
    state = page.locator("#tree tbody tr[data-status=os] td[data-text=state]").first
    expect(state).to_have_text("sleeping")
    lines = "cell => { const range = document.createRange(); range.selectNodeContents(cell); return range.getClientRects().length }"
    page.set_viewport_size({"width": 1001, "height": 720})  # the narrowest with two columns
    assert state.evaluate(lines) == 1, "a word of the state is not broken"
    page.set_viewport_size({"width": 1280, "height": 720})
    button(page, "Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This stops 3 OS processes where they are (SIGSTOP)")
    expect(dialog).to_contain_text(f"Worker (pid {pid}, 3 OS processes)")
    confirm(page, "Not now")
    assert root.status() != psutil.STATUS_STOPPED
    button(page, "Pause").click()
    confirm(page, "Pause it")
    expect(page.locator("#summary")).to_have_attribute("data-status", "paused")
    wait_until(lambda: root.status() == psutil.STATUS_STOPPED, 30, "it to be stopped")
    button(page, "Resume").click()
    confirm(page, "Resume it")
    expect(page.locator("#summary")).to_have_attribute("data-status", "running")
    wait_until(lambda: root.status() != psutil.STATUS_STOPPED, 30, "it to go on")
    every = [root, *root.children(recursive=True)]
    button(page, "Kill").click()
    expect(dialog).to_contain_text("This ends 3 OS processes, children before parents:")
    dialog.get_by_label("Signal").select_option("SIGKILL")
    confirm(page, "End it")
    expect(page.locator("#told")).to_contain_text("3 OS processes ended")
    expect(page.locator("#summary")).to_have_attribute("data-status", re.compile("killed|cancelled"))
    wait_until(lambda: not any(runs(one.pid) for one in every), 30, "the end of all three")
    expect(page.locator("#timeline li")).to_have_count(len(admin.get(process_id)["transitions"]))
    expect(button(page, "Kill")).to_have_count(0)
    button(page, "Run again").click()
    expect(dialog).to_contain_text("sleep 300 & sleep 300; wait")
    confirm(page, "Run it again")
    page.wait_for_url(lambda url: "/processes/" in url and process_id not in url)
    second = page.url.rsplit("/", 1)[1]
    assert admin.get(second)["metadata"]["retry_of"] == process_id
    admin.request("POST", f"/api/processes/{second}/kill", {"grace": 0})
    page.goto(f"/processes/{process_id}")
    button(page, "Dismiss").click()
    confirm(page, "Dismiss it")
    wait_until(lambda: admin.get(process_id)["dismissed_at"], 30, "it to be dismissed")
    page.close()


def test_the_link_of_an_alert_asks_whether_to_cancel(admin: Api, operator: Visitor, counting: Callable[..., str]) -> None:
    process_id = counting("Cancelled")
    page = operator.open(f"/processes/{process_id}?cancel")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Ask «Cancelled» to end?")
    expect(dialog).to_contain_text("headway run signals its command")
    expect(dialog).to_contain_text(f"(pid {admin.get(process_id)['pid']}")
    confirm(page, "Ask it to end")
    wait_until(lambda: admin.get(process_id)["status"] in ("cancelled", "killed"), 30, "its end")
    expect(page.locator("#summary")).to_have_attribute("data-status", admin.get(process_id)["status"])
    expect(button(page, "Cancel")).to_have_count(0)
    page.close()


def test_who_may_not_control_has_no_buttons(
    browser: Browser, exporter: RunningExporter, admin: Api, counting: Callable[..., str]
) -> None:
    process_id = counting("Watched")
    stranger = Visitor(browser, exporter)
    page = stranger.open(f"/processes/{process_id}?cancel")
    expect(page.locator("#actions button")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name="Sign in to control")).to_have_attribute(
        "href", f"/login?next=/processes/{process_id}%3Fcancel"
    )
    expect(page.locator("#cancel")).to_contain_text(f"headway cancel {process_id}")
    stranger.close()
    viewer = Visitor(browser, exporter)
    page = viewer.sign_in(make_key(exporter, "viewer"), f"/processes/{process_id}")
    expect(page.locator("#log")).to_contain_text("line 1 of")
    expect(page.locator("#actions button")).to_have_count(0)
    answer = page.evaluate(
        """async (id) => {
            const { call } = await import('/static/js/actions.js');
            return call('POST', `/api/processes/${id}/cancel`).then(() => 'done', (error) => error.message);
        }""",
        process_id,
    )
    assert "needs the role operator" in answer and admin.get(process_id)["status"] == "running"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    viewer.close()


def test_what_is_usual_children_and_metadata(admin: Api, operator: Visitor) -> None:
    for number in range(3):
        admin.create(id=f"usual{number}", name="Usual", started_age=100)
        admin.update(f"usual{number}", status="done")
    admin.create(id="late", name="Usual", started_age=250, metadata={"model": "<i>m</i>", "tokens": {"input": 5}})
    page = operator.open("/processes/late")
    expect(page.locator("#usual")).to_contain_text("2.5×")
    expect(page.locator("#usual")).to_contain_text("of the usual 1m 40s, median of the last 3 good runs")
    expect(page.locator(".flaglines")).to_contain_text("time sink")
    expect(page.locator("#metadata")).to_contain_text('"model": "<i>m</i>"')
    admin.create(id="below", name="Below <b>it</b>", parent_id="late")
    expect(page.locator("#tree tbody")).to_contain_text("Below <b>it</b>")
    page.locator("#tree").get_by_role("link", name="Below").click()
    page.wait_for_url("**/processes/below")
    expect(page.locator("#facts").get_by_role("link", name="late")).to_be_visible()
    page.close()
