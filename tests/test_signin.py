"""Signing in on the pages: cookies, what they allow, how they end; on a real exporter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape

import pytest
import requests

from calling import make_key
from headway.api.entrance import local
from headway.guesses import BURST, PAUSE, Guesses
from running import RunningExporter, Starter
from waiting import wait_until

PAGE = {"Accept": "text/html"}
# What makes a request come from another machine: a proxy on loopback says so.
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
NEW = {"name": "job", "type": "task"}


class Browser:
    """Keeps cookies and says where its requests come from, as browsers do."""

    def __init__(self, exporter: RunningExporter, **headers: str) -> None:
        self.exporter = exporter
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(headers)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.exporter.url + path, headers=PAGE | headers, allow_redirects=False, timeout=30)

    def submit(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> requests.Response:
        sent = {"Origin": self.exporter.url} | PAGE | (headers or {})
        return self.session.post(self.exporter.url + path, fields, headers=sent, allow_redirects=False, timeout=30)

    def sign_in(self, key: str) -> requests.Response:
        answer = self.submit("/login", None, key=key)
        assert answer.status_code == 303, answer.text
        return answer

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get("/login").text)
        assert found, "the page of who is signed in carries it"
        return found[1]

    def act(self, method: str, path: str, csrf: str | None, **headers: str) -> requests.Response:
        more = {"X-Headway-CSRF": csrf} if csrf is not None else {}
        url = self.exporter.url + path
        return self.session.request(method, url, json={}, headers={"Origin": self.exporter.url} | more | headers, timeout=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    """One exporter for those tests that leave no wrong tries behind."""
    exporter = RunningExporter(tmp_path_factory.mktemp("signin") / "data", ("--sample-interval", "0.2")).start()
    yield exporter
    exporter.kill()


@pytest.fixture
def browser(shared: RunningExporter) -> Browser:
    return Browser(shared)


def create(exporter: RunningExporter, **fields: str) -> str:
    """Its id; one that is there already stays."""
    answer = requests.post(
        f"{exporter.url}/api/processes", json=NEW | fields, headers={"Authorization": f"Bearer {exporter.key}"}, timeout=20
    )
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["data"]["id"])


def test_who_comes_from_elsewhere_is_shown_the_way_in_and_arrives_where_they_wanted_to(browser: Browser) -> None:
    away = browser.get("/processes/x?cancel=1&a=ü", **ELSEWHERE)
    assert away.status_code == 303 and away.headers["location"].startswith("/login?next=/processes/x%3Fcancel%3D1")
    form = browser.get(away.headers["location"], **ELSEWHERE)
    assert form.status_code == 200 and "form-action 'self'" in form.headers["content-security-policy"]
    assert form.headers["referrer-policy"] == "same-origin", "with no-referrer a browser says «Origin: null»"
    goal = unescape(re.search(r'name="next" value="([^"]*)"', form.text)[1])  # type: ignore[index]
    answer = browser.submit("/login", ELSEWHERE, key=browser.exporter.key, next=goal)
    assert answer.status_code == 303 and answer.headers["location"] == goal and goal.startswith("/processes/x?cancel=1&a=")
    assert browser.get("/processes", **ELSEWHERE).status_code == 200
    assert browser.get("/static/headway.css", **ELSEWHERE).status_code == 200


def test_programs_are_refused_and_not_redirected(browser: Browser) -> None:
    for path, headers in (
        ("/api/processes", {}),
        ("/metrics", {}),
        ("/processes", {"Accept": "*/*"}),
        ("/processes", {"Authorization": "Bearer x"}),
    ):
        answer = browser.get(path, **ELSEWHERE | headers)
        assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json", path


def test_the_cookie_is_for_this_site_only_and_no_script_reads_it(browser: Browser) -> None:
    parts = browser.sign_in(browser.exporter.key).headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= set(parts) and "secure" not in parts
    assert not any(part.startswith("domain") for part in parts)
    token = next(iter(browser.session.cookies)).value or ""
    kept = browser.exporter.data_dir / "sessions.json"
    assert kept.stat().st_mode & 0o777 == 0o600 and token not in kept.read_text()
    through_tls = Browser(browser.exporter, **{"X-Forwarded-Proto": "https"}).sign_in(browser.exporter.key).headers["set-cookie"]
    assert through_tls.startswith("__Host-headway_") and "; Secure" in through_tls


def test_each_action_of_a_session_proves_that_it_comes_from_our_page(browser: Browser) -> None:
    process = create(browser.exporter)
    browser.sign_in(browser.exporter.key)
    csrf, path = browser.csrf(), f"/api/processes/{process}/cancel"
    for proof in (None, "", "x", csrf[:-1] + ("0" if csrf[-1] != "0" else "1")):
        answer = browser.act("POST", path, proof)
        assert answer.status_code == 403 and "X-Headway-CSRF" in answer.json()["detail"]
    assert browser.act("POST", path, csrf, Origin="https://evil.example").status_code == 403
    assert browser.act("POST", path, csrf).status_code == 202
    other = Browser(browser.exporter)
    other.sign_in(browser.exporter.key)
    assert other.act("POST", path, csrf).status_code == 403, "of another session"


@pytest.mark.parametrize(("role", "create", "cancel"), [("viewer", 403, 403), ("reporter", 201, 403), ("operator", 201, 202)])
def test_the_role_of_the_key_decides(browser: Browser, role: str, create: int, cancel: int) -> None:
    globals()["create"](browser.exporter, id="target")
    browser.sign_in(make_key(browser.exporter, role))
    csrf, url = browser.csrf(), browser.exporter.url
    headers = {"X-Headway-CSRF": csrf, "Origin": url}
    assert browser.session.post(f"{url}/api/processes", json=NEW, headers=headers, timeout=30).status_code == create
    assert browser.act("POST", "/api/processes/target/cancel", csrf).status_code == cancel


def test_a_session_sees_what_its_key_sees(browser: Browser) -> None:
    create(browser.exporter, id="anns", user="ann")
    create(browser.exporter, id="bobs", user="bob")
    browser.sign_in(make_key(browser.exporter, "viewer", "--user", "ann"))
    page = browser.get("/processes", **ELSEWHERE).text
    assert "anns" in page and "bobs" not in page
    assert browser.get("/api/processes/bobs", **ELSEWHERE).status_code == 404


def test_a_session_outlives_the_exporter_but_not_its_key(browser: Browser) -> None:
    exporter = browser.exporter
    text = make_key(exporter, "operator", "--user", "eve")
    browser.sign_in(text)
    exporter.restart()
    assert browser.get("/processes", **ELSEWHERE).status_code == 200
    csrf = browser.csrf()
    assert browser.act("POST", f"/api/processes/{create(exporter, user='eve')}/cancel", csrf).status_code == 202
    with browser.session.get(f"{exporter.url}/api/processes/stream", headers=ELSEWHERE, stream=True, timeout=60) as stream:
        events = stream.iter_lines()
        assert next(events) == b"event: reset"
        command = [sys.executable, "-m", "headway", "key", "revoke", text.split("_")[1], "--data-dir", str(exporter.data_dir)]
        subprocess.run(command, check=True, capture_output=True)
        assert browser.get("/processes", **ELSEWHERE).status_code == 303
        answer = browser.act("POST", f"/api/processes/{create(exporter, user='eve')}/cancel", csrf)
        assert answer.status_code == 401 and "session is over" in answer.json()["detail"]
        for _ in events:  # each change is something to be said, and what is to be said next ends it
            create(exporter, user="eve")


def test_signing_out_ends_the_session_for_whoever_holds_its_cookie(browser: Browser) -> None:
    browser.sign_in(browser.exporter.key)
    csrf = browser.csrf()
    thief = Browser(browser.exporter)
    thief.session.cookies.update(browser.session.cookies)
    assert browser.submit("/logout", csrf="0" * 64).status_code == 403
    assert thief.get("/processes", **ELSEWHERE).status_code == 200
    answer = browser.submit("/logout", csrf=csrf)
    assert answer.status_code == 303 and "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get("/processes", **ELSEWHERE).status_code == 303
    assert thief.get("/processes", **ELSEWHERE).status_code == 303


def test_a_session_has_an_end(start_exporter: Starter) -> None:
    exporter = start_exporter("--session-lifetime", "1h")
    browser = Browser(exporter)
    assert "Max-Age=3600" in browser.sign_in(exporter.key).headers["set-cookie"]
    exporter.stop()
    kept = exporter.data_dir / "sessions.json"
    (row,) = json.loads(kept.read_text())
    kept.write_text(json.dumps([row | {"began_at": row["began_at"] - 3601, "ends_at": row["ends_at"] - 3601}]))
    exporter.start()
    assert browser.get("/processes", **ELSEWHERE).status_code == 303
    kept.write_text(json.dumps([row | {"ends_at": row["ends_at"] + 1e9}]))
    exporter.restart()
    assert browser.get("/processes", **ELSEWHERE).status_code == 303, "longer than the settings allow"
    kept.write_text("{half")
    exporter.restart()
    browser.sign_in(exporter.key)
    assert browser.get("/processes", **ELSEWHERE).status_code == 200


def test_forms_of_other_sites_sign_nobody_in(browser: Browser) -> None:
    key = browser.exporter.key
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.submit("/login", headers, key=key).status_code == 403
    url = f"{browser.exporter.url}/login"
    silent = requests.post(url, {"key": key}, timeout=30)
    assert silent.status_code == 403 and "Origin" in silent.json()["detail"]
    assert requests.post(url, json={"key": key}, headers={"Origin": browser.exporter.url}, timeout=30).status_code == 415
    many = "&".join(f"f{n}=1" for n in range(50))
    headers = {"Origin": browser.exporter.url, "Content-Type": "application/x-www-form-urlencoded"}
    assert requests.post(url, many, headers=headers, timeout=30).status_code == 422


def test_a_wrong_key_is_refused_in_words_and_too_many_have_to_wait(exporter: RunningExporter) -> None:
    browser = Browser(exporter)
    for _ in range(BURST):
        answer = browser.submit("/login", key="hw_00000000_" + "x" * 43, next="/history")
        assert answer.status_code == 401 and "unknown or was revoked" in answer.text and 'value="/history"' in answer.text
    answer = browser.submit("/login", key="hw_00000000_" + "x" * 43)
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= PAUSE
    metrics = browser.get("/metrics").text
    assert f'headway_control_actions_total{{action="sign_in",outcome="refused"}} {BURST + 1}' in metrics
    browser.sign_in(browser.exporter.key)  # nobody can lock out who has a key
    log = "".join(browser.exporter.output)
    assert 'sign_in from 127.0.0.1 by "anonymous" (viewer): refused: "This key is unknown' in log and "xxxx" not in log


def test_sign_ins_are_audited(browser: Browser) -> None:
    browser.sign_in(browser.exporter.key)
    browser.submit("/logout", csrf=browser.csrf())
    wait_until(
        lambda: 'sign_out from 127.0.0.1 by "first-start" (admin): done' in "".join(browser.exporter.output), what="the line"
    )
    assert 'sign_in from 127.0.0.1 by "first-start" (admin): done: "for 12h"' in "".join(browser.exporter.output)


def test_a_link_on_another_site_leads_to_the_page_as_who_is_signed_in(browser: Browser) -> None:
    """A browser keeps back a SameSite=strict cookie when somebody follows a link in a chat."""
    create(browser.exporter, id="linked")
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = browser.get("/processes/linked?cancel&x='\"><script>", **followed)
    assert answer.status_code == 200 and "<script" not in answer.text
    where = unescape(re.search(r'content="0; url=([^"]*)"', answer.text)[1])  # type: ignore[index]
    assert where.startswith("/processes/linked?cancel&x=")
    assert "linked" in browser.get(where, **{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}).text
    browser.sign_in(browser.exporter.key)
    assert (
        "http-equiv" not in browser.get("/processes/linked?cancel", **followed).text
        or "url=" not in browser.get("/processes/linked?cancel", **followed).text
    ), "whose browser sends the cookie all the same gets the page"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("/processes/x?cancel", True),
        ("/", True),
        ("/docs", True),
        ("", False),
        ("history", False),
        ("//evil.example/x", False),
        ("/\\evil.example", False),
        ("https://evil.example", False),
        ("javascript:alert(1)", False),
        ("/x\r\nSet-Cookie: a=b", False),
        ("/\t/evil.example", False),
        ("/logout", False),
        ("/api/processes", False),
        ("/" + "x" * 3000, False),
        ("//[", False),
    ],
)
def test_nobody_is_sent_elsewhere(address: str, kept: bool) -> None:
    assert local(address) == (address if kept else "/")


def test_guesses_are_forgotten_with_time_and_each_address_has_its_own() -> None:
    now = 0.0
    guesses = Guesses(lambda: now)
    for _ in range(BURST):
        assert guesses.wait("a") == 0
        guesses.failed("a")
    assert guesses.wait("a") == PAUSE and guesses.wait("b") == 0
    now = PAUSE
    assert guesses.wait("a") == 0
    guesses.failed("a")
    assert guesses.wait("a") == PAUSE
    now = 1000 * PAUSE
    assert guesses.wait("a") == 0
