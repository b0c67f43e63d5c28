"""Messages as they arrive: the real Alertmanager, and at each receiver a stand-in that refuses what the real service refuses."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from alertmanagers import LABELS, LINKS, PROCESS, SAID, RunningAlertmanager, binaries
from live_stack import fetch
from mailserver import part
from running import RunningExporter
from standins import StandIns, telegram_text
from waiting import wait_until

# What would break careless templates: markup of every receiver, quotes, an emoji, a line end.
NASTY = 'a <b>&amp; "q" *x* _y_ `z` [l](http://evil) {{ .Labels }} \\ ~s~ 🚚\nnext'
HEAD = "Nightly import writes nothing and gets no further"
TIME = r"\d+ \w+ \d\d:\d\d \w+"


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    services = StandIns(tmp_path_factory.mktemp("standins") / "secrets")
    yield services
    services.close()


@pytest.fixture(scope="module", params=range(len(binaries())))
def alertmanager(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, standins: StandIns, tools: None
) -> Iterator[RunningAlertmanager]:
    folder = tmp_path_factory.mktemp("alertmanager")
    exporter = RunningExporter(folder / "exporter", ("--alerting-secrets", str(standins.folder))).start()
    standins.exporter = exporter
    running = RunningAlertmanager(folder, binaries()[request.param], standins.folder, exporter.url)
    try:
        yield running.start()
    finally:
        running.stop()
        exporter.kill()


@pytest.fixture(autouse=True)
def nothing_refused(standins: StandIns) -> Iterator[None]:
    standins.forget()
    yield
    assert standins.refused == []


def silence_of(alertmanager: RunningAlertmanager, matchers: str) -> str:
    return f"{alertmanager.url}/#/silences/new?filter={quote(matchers, safe='')}"


def test_a_stuck_process_reads_well_everywhere(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    alertmanager.fire(LABELS, SAID | LINKS)
    head = f"🟠 {HEAD}"
    links = {
        "Output": PROCESS,
        "Cancel": f"{PROCESS}?cancel",
        "Dashboard": LINKS["dashboard_url"],
        "Runbook": LINKS["runbook_url"],
        "Silence": silence_of(alertmanager, '{alertname="HeadwayProcessStuck", id="0192f0c1-8f7a"}'),
    }

    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == head)["attachments"]
    description, how, row = said["text"].split("\n")
    assert description == SAID["description"] and said["title_link"] == PROCESS and said["color"] == "warning"
    assert re.fullmatch(rf"\*warning\* since {TIME} on 127.0.0.1:14323", how)
    assert row == " · ".join(f"<{url}|{name}>" for name, url in links.items()) and said["fallback"] == head

    embed = standins.discord.wait(lambda m: m["embeds"][0]["title"] == head)["embeds"][0]
    description, how, row = embed["description"].split("\n\n")
    assert description == SAID["description"].replace("(", r"\(").replace(")", r"\)")
    assert re.fullmatch(rf"\*\*warning\*\* since {TIME} on 127.0.0.1:14323", how)
    assert row == " · ".join(f"[{name}]({url})" for name, url in links.items())

    text = standins.telegram.wait(lambda m: HEAD in m["text"])["text"]
    assert re.fullmatch(
        rf"{head}\n{re.escape(SAID['description'])}\nwarning since {TIME} on \S+\n{' · '.join(links)}", telegram_text(text)
    )
    assert dict(re.findall(r'<a href="([^"]+)">(\w+)</a>', text)) == {url: name for name, url in links.items()}

    card = standins.teams.wait(lambda m: HEAD in json.dumps(m))["attachments"][0]["content"]
    assert HEAD in json.dumps(card["body"][0])
    if native_teams(alertmanager):
        assert all(f"[{name}]({url})" in card["body"][1]["text"] for name, url in links.items())
    else:
        assert {action["title"]: action["url"] for action in card["actions"]} == links
        assert card["body"][1]["inlines"][0]["text"] == SAID["description"]

    mail = standins.mail.wait(lambda m: m["Subject"] == head)
    plain, page = part(mail, "text/plain"), part(mail, "text/html")
    assert plain.startswith(f"{head}\n\n{SAID['description']}\n  warning since ")
    assert all(url in plain for url in links.values()) and mail["To"] == "ops@example.org"
    assert set(links.values()) <= {html.unescape(url) for url in re.findall(r'href="([^"]+)"', page)}
    assert any(base64.b64decode(user.split()[-1]) == b"\0headway\0pass word: 1" for user in standins.mail.users)

    body = standins.webhook.wait(lambda m: m["alerts"][0]["labels"] == LABELS)
    assert body["alerts"][0]["annotations"] == SAID | LINKS


def native_teams(alertmanager: RunningAlertmanager) -> bool:
    return "msteamsv2_configs" in alertmanager.config.read_text()


def test_what_is_over_says_how_long_it_lasted(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    labels = LABELS | {"id": "over-1", "name": "Nightly export", "severity": "critical"}
    alertmanager.fire(labels, SAID | LINKS)
    firing = standins.slack.wait(lambda m: m["attachments"][0]["title"].startswith("🔴 Nightly export"))
    assert firing["attachments"][0]["color"] == "danger"
    alertmanager.fire(labels, SAID | LINKS, resolve=True)
    head, lasted = "✅ Resolved: Nightly export: Stuck", rf"It lasted (1m\d+s|\d+s|1m \d+s|1m), until {TIME}"
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == head)["attachments"]
    assert re.match(lasted, said["text"]) and said["color"] == "good"
    assert "|Cancel>" not in said["text"] and "|Silence>" not in said["text"] and "|Output>" in said["text"]
    embed = standins.discord.wait(lambda m: m["embeds"][0]["title"] == head)["embeds"][0]
    assert re.match(lasted, embed["description"])
    assert re.match(rf"{head}\n{lasted}", telegram_text(standins.telegram.wait(lambda m: "Resolved" in m["text"])["text"]))
    card = json.dumps(standins.teams.wait(lambda m: "Resolved" in json.dumps(m)), ensure_ascii=False)
    assert head in card and re.search(lasted, card)
    mail = standins.mail.wait(lambda m: m["Subject"] == head)
    assert re.search(lasted, part(mail, "text/plain")) and re.search(lasted, part(mail, "text/html"))
    assert standins.webhook.wait(lambda m: m["status"] == "resolved")["alerts"][0]["labels"] == labels


def test_names_and_texts_may_hold_anything(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    labels = LABELS | {"id": "nasty-1", "name": NASTY, "instance": "a_b<&>*c*"}
    alertmanager.fire(labels, SAID | LINKS | {"description": f"It said: {NASTY}"})
    flat = NASTY.replace("\n", " ")
    short = flat[:60]

    (said,) = standins.slack.wait(lambda m: "q" in m["attachments"][0]["title"])["attachments"]
    assert html.unescape(said["title"]) == f"🟠 {short} writes nothing and gets no further"
    assert html.unescape(said["text"].replace("\u200b", "")).startswith(f"It said: {flat}\n")

    embed = standins.discord.wait(lambda m: "evil" in m["embeds"][0]["description"])["embeds"][0]
    assert re.sub(r"\\(.)", r"\1", embed["title"]) == f"🟠 {short} writes nothing and gets no further"
    first = embed["description"].split("\n")[0]
    assert re.sub(r"\\(.)", r"\1", first) == f"It said: {flat}" and not re.search(r"(?<!\\)[*_~`<>\[\]()]", first)

    text = standins.telegram.wait(lambda m: "evil" in m["text"])["text"]
    assert telegram_text(text).startswith(f"🟠 {short} writes nothing and gets no further\nIt said: {flat}\n")

    card = standins.teams.wait(lambda m: "evil" in json.dumps(m))["attachments"][0]["content"]
    if not native_teams(alertmanager):
        assert card["body"][0]["inlines"][0]["text"] == f"🟠 {short.rstrip()} writes nothing and gets no further"
        assert card["body"][1]["inlines"][0]["text"] == f"It said: {flat}"

    mail = standins.mail.wait(lambda m: short in str(m["Subject"]))
    assert f"It said: {flat}" in part(mail, "text/plain")
    page = part(mail, "text/html")
    assert "<b>&" not in page and f"It said: {flat}" in html.unescape(page)


@pytest.mark.parametrize("kind", ("plain", "nasty"))
def test_a_crowd_is_one_message_within_every_limit(alertmanager: RunningAlertmanager, standins: StandIns, kind: str) -> None:
    name = "Thumbnails" if kind == "plain" else "<&>*_[]()`~\\" * 16
    # A task: the crowd is told of together, whatever the names are.
    crowd = [LABELS | {"id": f"{kind}-{n}", "name": f"{name}{n}", "kind": "task", "instance": kind} for n in range(40)]
    annotations = [SAID | LINKS | {"process_url": f"http://{'x' * 60}.example/processes/{labels['id']}"} for labels in crowd]
    alertmanager.fire_all(list(zip(crowd, annotations, strict=True)))
    head = "🟠 40 × Stuck"
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == head)["attachments"]
    assert said["text"].count("\n• ") + said["text"].startswith("• ") == 8 and "… and 32 more" in said["text"]
    embed = standins.discord.wait(lambda m: m["embeds"][0]["title"] == head)["embeds"][0]
    assert (
        embed["description"].count("\n- [") + embed["description"].startswith("- [") == 6 and "and 34 more" in embed["description"]
    )
    text = standins.telegram.wait(lambda m: "40 × Stuck" in m["text"])["text"]
    assert text.count("• ") == 6 and "… and 34 more" in text and len(text) < 4096, "Alertmanager cuts what is longer"
    assert silence_of(alertmanager, f'{{alertname="HeadwayProcessStuck", instance="{kind}"}}') in text
    standins.teams.wait(lambda m: "40 × Stuck" in json.dumps(m, ensure_ascii=False))
    mail = standins.mail.wait(lambda m: m["Subject"] == head)
    assert part(mail, "text/plain").count("Output:") == 40
    alertmanager.fire_all(list(zip(crowd, annotations, strict=True)), resolve=True)
    standins.slack.wait(lambda m: m["attachments"][0]["title"] == "✅ Resolved: 40 × Stuck")
    assert len(standins.telegram.wait(lambda m: "Resolved: 40" in m["text"])["text"]) < 4096
    standins.discord.wait(lambda m: "Resolved: 40" in m["embeds"][0]["title"])
    standins.teams.wait(lambda m: "Resolved: 40" in json.dumps(m))


@pytest.mark.parametrize("letter", ("&", "*", "🚚"))
def test_the_longest_message_is_within_every_limit(alertmanager: RunningAlertmanager, standins: StandIns, letter: str) -> None:
    """Names that grow most by escaping, the longest links, what fires beside what is over."""
    links = LINKS | {name: f"http://{'x' * 165}.example/{name[:3]}" for name in ("dashboard_url", "runbook_url")}
    alerts = [
        (
            LABELS | {"id": f"{ord(letter)}-{n}", "name": f"{letter * 100}{n}", "kind": "task", "instance": letter},
            SAID | links | {"process_url": f"http://{'x' * 165}.example/{n:03}", "description": letter * 2000},
        )
        for n in range(12)
    ]
    alertmanager.fire_all(alerts)
    standins.slack.wait(lambda m: "12 × Stuck" in m["attachments"][0]["title"])
    alertmanager.fire_all(alerts[:5], resolve=True)
    standins.slack.wait(lambda m: "7 × Stuck" in m["attachments"][0]["title"])
    assert len(standins.telegram.wait(lambda m: "7 × Stuck" in m["text"])["text"]) < 4096, "Alertmanager cuts what is longer"
    standins.discord.wait(lambda m: "7 × Stuck" in m["embeds"][0]["title"])
    standins.teams.wait(lambda m: "7 × Stuck" in json.dumps(m, ensure_ascii=False))
    alertmanager.fire_all(alerts[:-1], resolve=True)
    text = standins.telegram.wait(lambda m: "1 × Stuck" not in m["text"] and m["text"].count("✅") == 3)["text"]
    assert len(text) < 4096


def test_one_message_for_a_name_and_one_for_the_other(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    failed = {**LABELS, "alertname": "HeadwayProcessFailed"}
    runs = [failed | {"id": f"run-{n}", "name": "Rebuild"} for n in range(3)] + [failed | {"id": "other", "name": "Backup"}]
    alertmanager.fire_all([(labels, {**LINKS, "summary": "A process failed"}) for labels in runs])
    standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🟠 3 × Failed: Rebuild")
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🟠 Backup failed")["attachments"]
    assert "Cancel" not in said["text"], "it has ended"


def test_the_failure_of_a_task_is_told_whatever_has_failed_before(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    """A group for each name, which waits for none of the others and does not tell theirs again."""
    failed = LABELS | {"alertname": "HeadwayProcessFailed", "gate": "failed", "kind": "task", "instance": "tasks:1"}
    words = {"summary": "A process failed", "description": "The task x (y) failed 4s ago: no space left."}
    alertmanager.fire_all([(failed | {"id": f"old-{n}", "name": "Old"}, words) for n in range(3)])
    standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🟠 3 × Failed: Old")
    alertmanager.fire(failed | {"id": "new-1", "name": "New"}, words)
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🟠 New failed")["attachments"]
    assert said["text"].startswith("The task x (y) failed 4s ago: no space left.\n")
    titles = [m["attachments"][0]["title"] for m in standins.slack.messages]
    # Newer Alertmanagers may send the first of those that come together before the third is in; other tests may have more to say.
    assert [t for t in titles if t in ("🟠 3 × Failed: Old", "🟠 New failed")] == ["🟠 3 × Failed: Old", "🟠 New failed"]
    assert not any("Old" in title for title in titles[titles.index("🟠 3 × Failed: Old") + 1 :]), "what was told is not told again"


@pytest.mark.parametrize("letter", ("n", "&", "*", "🚚"))
def test_of_a_crowd_that_failed_the_newest_come_first_and_say_why(
    alertmanager: RunningAlertmanager, standins: StandIns, letter: str
) -> None:
    failed = LABELS | {"alertname": "HeadwayProcessFailed", "gate": "failed", "kind": "subagent", "instance": letter}
    links = LINKS | {name: f"http://{'x' * 165}.example/{name[:3]}" for name in ("dashboard_url", "runbook_url")}
    words = links | {"summary": "A process failed"}
    crowd = [
        (
            failed | {"id": f"{ord(letter)}-{n:02}", "name": f"{n:02}{letter * (2 if letter == 'n' else 100)}"},
            words
            | {
                "process_url": f"http://{'x' * 165}.example/{n:02}",
                "description": f"The subagent a (b (c) (0192-{n}) failed 4s "
                f"ago: {'no space left' if letter == 'n' else letter * 2000}.",
            },
        )
        for n in range(12)
    ]
    alertmanager.fire_all(crowd)
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🟠 12 × Failed")["attachments"]
    shown = re.findall(r"^• <http\S+/(\d\d)\|.* · (.*)$", said["text"], re.M)
    assert [number for number, _ in shown] == [f"{n:02}" for n in range(11, 5, -1)] and "… and 6 more" in said["text"]
    assert all(why.startswith("failed 4s ago: ") for _, why in shown)
    if letter == "n":
        assert {why for _, why in shown} == {"failed 4s ago: no space left."}
    embed = standins.discord.wait(lambda m: m["embeds"][0]["title"] == "🟠 12 × Failed")["embeds"][0]
    assert re.findall(r"^- .*/(\d\d)\) · failed", embed["description"], re.M) == [f"{n:02}" for n in range(11, 5, -1)]
    text = standins.telegram.wait(lambda m: "12 × Failed" in m["text"])["text"]
    assert re.findall(r"^• <a href=\S+/(\d\d)\".* · failed", text, re.M) == [f"{n:02}" for n in range(11, 5, -1)]
    assert len(text) < 4096, "Alertmanager cuts what is longer"
    standins.teams.wait(lambda m: "12 × Failed" in json.dumps(m, ensure_ascii=False))
    mail = part(standins.mail.wait(lambda m: m["Subject"] == "🟠 12 × Failed"), "text/plain")
    assert re.findall(r"^\* (\d\d)", mail, re.M) == [f"{n:02}" for n in range(11, -1, -1)]


def test_a_service_and_an_exporter_have_no_process_to_link_to(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    links = {"dashboard_url": "http://exporter.example/services", "runbook_url": LINKS["runbook_url"]}
    labels = {"alertname": "HeadwayServiceDown", "severity": "critical", "instance": "box:1", "service": "web"}
    alertmanager.fire(labels, {**links, "summary": "A service is down", "description": "It does not answer."})
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == "🔴 web is down")["attachments"]
    assert said["title_link"] == links["dashboard_url"] and "|Output>" not in said["text"]
    filled = '{alertname="HeadwayServiceDown", instance="box:1", service="web"}'
    assert f"<{silence_of(alertmanager, filled)}|Silence>" in said["text"]


# ── what is not said ────────────────────────────────────────────────────────────────────────────────────────────────


def sent(standins: StandIns, *machines: str) -> set[tuple[str, str]]:
    """(alert, id) of what fires on these machines and arrived at the webhook; other tests may still have something to say."""
    alerts = [alert for message in list(standins.webhook.messages) for alert in message["alerts"]]
    alerts = [alert for alert in alerts if alert["labels"].get("instance") in (*machines, None)]
    return {(a["labels"]["alertname"], a["labels"].get("id", "")) for a in alerts if a["status"] == "firing"}


def test_what_says_it_all_silences_the_rest(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    moment = f"{time.time():.0f}"  # once more is another machine: what was told is not told again
    gone, calm = f"gone:{moment}", f"calm:{moment}"

    def of(alert: str, severity: str, one: str, instance: str = calm) -> dict[str, str]:
        more = {"id": one, "name": f"job {one}"} if one else {}
        return {"alertname": f"Headway{alert}", "severity": severity, "instance": instance, **more}

    # What silences comes first: Alertmanager learns of inhibition and of what is to be said on two ways, which race.
    alertmanager.fire_all(
        [
            (of("ExporterDown", "critical", "", gone), {}),
            (of("ProcessTimedOut", "critical", "b"), {}),
            (of("ProcessTimeSink", "critical", "c"), {}),
        ]
    )
    wait_until(lambda: len(sent(standins, gone, calm)) >= 3, 30, "what silences the rest")
    alertmanager.fire_all(
        [
            (of("ProcessStuck", "critical", "a", gone), {}),
            (of("ServiceDown", "critical", "", gone), {}),
            (of("ProcessStuck", "critical", "b"), {}),
            (of("ProcessTimeSink", "critical", "b"), {}),
            (of("ProcessTimeSinkForeseen", "info", "b"), {}),
            (of("ProcessTimeSink", "warning", "c"), {}),
            (of("ProcessTimeSinkForeseen", "info", "c"), {}),
            (of("ProcessStuck", "warning", "d"), {}),
            (of("ProcessTimeSinkForeseen", "info", "e"), {}),
            ({"alertname": "Watchdog", "severity": "none"}, {}),
        ]
    )
    expected = {
        ("HeadwayExporterDown", ""),
        ("HeadwayProcessTimedOut", "b"),
        ("HeadwayProcessTimeSink", "c"),
        ("HeadwayProcessStuck", "d"),
        ("HeadwayProcessTimeSinkForeseen", "e"),
    }
    wait_until(lambda: expected <= sent(standins, gone, calm), 30, "all that is to be said")
    # One that comes after them has been through the same groups.
    alertmanager.fire(of("ProcessStuck", "warning", "last"))
    wait_until(lambda: ("HeadwayProcessStuck", "last") in sent(standins, gone, calm), 30)
    assert sent(standins, gone, calm) == expected | {("HeadwayProcessStuck", "last")}
    severities = {
        a["labels"]["severity"]
        for m in standins.webhook.messages
        for a in m["alerts"]
        if a["labels"].get("id") == "c" and a["labels"]["instance"] == calm
    }
    assert severities == {"critical"}


def test_what_ended_is_told_when_its_exporter_is_back(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    """HeadwayExporterDown goes on for a while then. What was known before it went is kept back by ExporterAway."""
    moment = f"{time.time():.0f}"
    back, away = f"back:{moment}", f"away:{moment}"
    down = {"alertname": "HeadwayExporterDown", "severity": "critical", "gate": "exporter"}
    alertmanager.fire_all([(down | {"instance": machine}, {}) for machine in (back, away)])
    alertmanager.fire({"alertname": "ExporterAway", "severity": "none", "gate": "exporter", "instance": away})
    wait_until(lambda: len(sent(standins, back, away)) == 1, 30, "that they are down")
    ends = [
        {"alertname": f"HeadwayProcess{alert}", "severity": severity, "gate": gate, "name": gate, "id": f"{gate}-{machine}"}
        | ({"outcome": "done", "batch": "1"} if gate == "ended" else {})
        | {"instance": machine}
        for machine in (back, away)
        for alert, severity, gate in (
            ("Failed", "warning", "failed"),
            ("TimedOut", "warning", "timed_out"),
            ("Orphaned", "warning", "orphaned"),
            ("Ended", "info", "ended"),
            ("Stuck", "warning", "stuck"),
        )
    ]
    alertmanager.fire_all([(labels, SAID) for labels in ends])
    told = {f"{gate}-{back}" for gate in ("failed", "timed_out", "orphaned", "ended")} | {f"ended-{away}"}
    wait_until(lambda: told <= {one for _, one in sent(standins, back, away)}, 30, "how they ended")
    known = fetch(f"{alertmanager.url}/api/v2/alerts", filter=f'instance=~"{back}|{away}"')
    held = {alert["labels"].get("id") for alert in known if alert["status"]["inhibitedBy"]}
    assert held == {f"stuck-{back}", f"stuck-{away}", *(f"{gate}-{away}" for gate in ("failed", "timed_out", "orphaned"))}


def test_that_it_was_ended_at_its_timeout_is_told_at_once(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    """That it runs past its timeout goes on for half a minute after its end, under the same name and critical."""
    late = LABELS | {"alertname": "HeadwayProcessTimedOut", "name": "Late", "id": f"late-{time.time():.0f}"}
    past, ended = late | {"gate": "overdue", "severity": "critical"}, late | {"gate": "timed_out", "severity": "warning"}

    def told() -> list[tuple[str, str]]:
        alerts = [alert for message in list(standins.webhook.messages) for alert in message["alerts"]]
        return [(a["labels"]["gate"], a["status"]) for a in alerts if a["labels"].get("id") == late["id"]]

    alertmanager.fire(past, SAID)
    wait_until(lambda: ("overdue", "firing") in told(), 30, "that it is late")
    # Its first message waits a moment, and then for five minutes where it was not to be said.
    alertmanager.fire(ended, SAID)
    wait_until(lambda: ("timed_out", "firing") in told(), 30, "its end")
    assert ("overdue", "resolved") not in told(), "which is not over yet for Prometheus"
    alertmanager.fire(past, SAID, resolve=True)
    wait_until(lambda: ("overdue", "resolved") in told(), 30, "that it runs no more")


def test_a_receiver_that_is_away_is_told_when_it_is_back(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    away = (standins.slack, standins.teams, standins.telegram, standins.discord)
    for one in away:
        one.away, one.turned_away = True, 0
    alertmanager.fire(LABELS | {"id": "patience", "name": "Patience"}, SAID | LINKS)
    standins.webhook.wait(lambda m: m["alerts"][0]["labels"]["name"] == "Patience")  # the others do not wait for them
    wait_until(lambda: all(one.turned_away for one in away), 30, "each was tried")
    for one in away:
        one.away = False
    for one in away:
        one.wait(lambda m: "Patience" in json.dumps(m), 60)


def test_teams_is_told_after_the_exporter_is_back(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    if native_teams(alertmanager):
        pytest.skip("this Alertmanager needs no exporter for it")
    assert standins.exporter is not None
    standins.exporter.stop()
    alertmanager.fire(LABELS | {"id": "relay", "name": "Relay"}, SAID | LINKS)
    standins.slack.wait(lambda m: "Relay" in m["attachments"][0]["title"])
    assert not any("Relay" in json.dumps(m) for m in standins.teams.messages)
    standins.exporter.start()
    standins.teams.wait(lambda m: "Relay" in json.dumps(m), 60)


def test_what_was_a_warning_and_then_critical_is_over_once(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    """Prometheus repeats for a quarter of an hour that the warning is over. While it is critical that is inhibited; later it is no
    news."""
    labels = {**LABELS, "alertname": "HeadwayProcessTimeSink", "gate": "time_sink", "name": "Twice told", "id": "twice-told"}
    critical = {**labels, "severity": "critical"}

    def titles() -> list[str]:
        return [m["attachments"][0]["title"] for m in standins.slack.messages if "Twice told" in m["attachments"][0]["title"]]

    alertmanager.fire(labels, SAID)
    wait_until(lambda: titles() == [f"🟠 {HEAD.replace('Nightly import', 'Twice told')}"], 30, "the warning")
    alertmanager.fire(critical, SAID)
    alertmanager.fire(labels, SAID, resolve=True)
    wait_until(lambda: len(titles()) == 2 and titles()[1].startswith("🔴"), 30, "the critical one")
    alertmanager.fire(labels, SAID, resolve=True)
    alertmanager.fire(critical, SAID, resolve=True)
    wait_until(lambda: len(titles()) == 3, 30, "that it is over")
    alertmanager.fire(labels, SAID, resolve=True)
    alertmanager.fire(critical, SAID, resolve=True)
    # Another of the group's messages shows that its turn has passed.
    alertmanager.fire({**labels, "id": "another"}, SAID)
    wait_until(lambda: len(titles()) == 4, 30, "another one")
    assert titles()[2] == "✅ Resolved: Twice told: Time Sink" and titles()[3].startswith("🟠")
    alertmanager.fire({**labels, "id": "another"}, SAID, resolve=True)
