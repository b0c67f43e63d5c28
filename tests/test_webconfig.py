"""The web configuration file: what is accepted, compared with promtool; TLS and passwords on a real exporter."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests

from certificates import Authority
from headway.configuration import load
from headway.errors import ConfigError
from headway.guesses import BURST
from headway.reporter.client import Client, Unreachable
from headway.webconfig.certificates import server_name
from headway.webconfig.definition import TLSServer
from headway.webconfig.passwords import credentials
from headway.webconfig.reading import read
from metrics_world import promtool
from running import RunningExporter
from scraping import ask, prometheus
from waiting import wait_until

WORD = "correct horse"
HASH = bcrypt.hashpw(WORD.encode(), bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: s.crt, key_file: s.key"
CA = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("certificates"))
    # The name of the machine in a network, not 127.0.0.1: what the exporter starts must find it all the same.
    found.issue("s", "build7.example", "headway.example")
    found.issue("local", "127.0.0.1", "localhost")
    found.issue("client", "prometheus.example")
    return found


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = (
    "",
    f"{TLS}}}",
    f"{TLS}, min_version: TLS13}}",
    f"{TLS}, min_version: TLS12, max_version: TLS12, prefer_server_cipher_suites: false}}",
    f"{TLS}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]}}",
    f"{TLS}, curve_preferences: [X25519]}}",
    f"{TLS}, {CA}}}",
    f"{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}}",
    f"{TLS}, client_auth_type: NoClientCert}}",
    "http_server_config: {http2: false}",
    "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1}}",
    "http_server_config: {headers: {X-Content-Type-Options: nosniff}}",
    f"basic_auth_users: {{prometheus: {HASH}, ann: {HASH.replace('$2b$', '$2y$')}}}",
    "tls_server_config:\nbasic_auth_users:\n",
)
BAD = (
    ("tls_server_config: {cert_file: s.crt}", "key_file is missing"),
    ("tls_server_config: {key_file: s.key}", "cert_file is missing"),
    ("tls_server_config: {cert_file: none.crt, key_file: s.key}", "cannot be used: No such file"),
    ("tls_server_config: {cert_file: s.crt, key_file: local.key}", "do not belong together"),
    ("tls_server_config: {cert_file: s.key, key_file: s.crt}", "no PEM"),
    (f"{TLS}, client_ca_file: ca.pem}}", "client_ca_file needs client_auth_type"),
    (f"{TLS}, client_auth_type: Please}}", "accepted: NoClientCert"),
    (f"{TLS}, min_version: TLS14}}", "accepted: TLS12, TLS13"),
    (f"{TLS}, cipher_suites: [TLS_NULL]}}", "unknown cipher suite TLS_NULL"),
    (f"{TLS}, curve_preferences: [P1]}}", "unknown curve"),
    (f"{TLS}, certfile: x}}", "unknown tls_server_config.certfile: did you mean cert_file?"),
    ("tls: {}", "unknown section tls"),
    ("http_server_config: {headers: {Server: x}}", "Server cannot be configured"),
    ("http_server_config: {headers: {X-Frame-Options: allow}}", "accepted: deny, sameorigin"),
    ("http_server_config: {http3: true}", "unknown http_server_config.http3"),
    ("basic_auth_users: {ann: secret}", "basic_auth_users.ann: a bcrypt hash is needed"),
    ("basic_auth_users: [ann]", "has no names in it"),
    ("tls_server_config: {", "is not valid YAML"),
)
# What others accept and this exporter cannot do, said by name.
UNSUPPORTED = (
    (f"{TLS}, min_version: TLS11}}", "TLS11 is not supported here: RFC 8996"),
    (f"{TLS}, client_auth_type: RequireAnyClientCert}}", "RequireAnyClientCert is not supported here"),
    (f"{TLS}, curve_preferences: [X25519, CurveP256]}}", "several curves are not supported here"),
    (f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}", "needs client_ca_file"),
)
# Newer than the promtool that is installed here.
LATER = (
    ("rate_limit: {interval: 1s, burst: 20}", "rate_limit is not supported here"),
    ("tls_server_config: {cert: x, key_file: s.key}", "tls_server_config.cert: not supported here: name a cert_file"),
    (f"{TLS}, client_allowed_sans: [a]}}", "client_allowed_sans needs"),
)


def judge(path: Path) -> str | None:
    """Why the exporter would not start with this file; None if it would."""
    from headway.webconfig.webfile import WebFile

    try:
        WebFile(path)
    except ConfigError as error:
        return error.detail
    return None


@pytest.mark.parametrize(("text", "said"), [*((text, None) for text in GOOD), *BAD, *UNSUPPORTED, *LATER])
def test_what_is_accepted(authority: Authority, text: str, said: str | None) -> None:
    path = authority.folder / "web.yml"
    path.write_text(text)
    found = judge(path)
    assert found is None if said is None else said in (found or ""), found
    assert found is None or "web.yml" in found or ".crt" in found or ".key" in found, "it says where"
    assert "secret" not in (found or ""), "what stands there may be a password"


def test_promtool_accepts_the_same_but_for_what_is_said_not_to_be_supported(authority: Authority) -> None:
    def accepts(text: str) -> bool:
        path = authority.folder / "theirs.yml"
        path.write_text(text)
        return subprocess.run([promtool(), "check", "web-config", str(path)], capture_output=True).returncode == 0

    assert [text for text in GOOD if not accepts(text)] == []
    assert [text for text, _ in BAD if accepts(text)] == []
    assert [text for text, _ in UNSUPPORTED if not accepts(text)] == []


def test_the_address_of_an_exporter_with_tls_is_https_unless_given(authority: Authority) -> None:
    path = authority.folder / "address.yml"
    path.write_text(f"{TLS}}}")
    assert load({"web_config_file": str(path)}, {}).settings.external_url == "https://127.0.0.1:14323"
    given = {"web_config_file": str(path), "external_url": "http://proxy.example"}
    assert load(given, {}).settings.external_url == "http://proxy.example"
    path.write_text("basic_auth_users:")
    assert load({}, {"HEADWAY_WEB_CONFIG_FILE": str(path)}).settings.external_url == "http://127.0.0.1:14323"


def test_the_name_in_a_certificate(authority: Authority) -> None:
    def name(*names: str, **more: bool) -> str | None:
        cert_file, key_file = authority.issue("named", *names, **more)
        return server_name(TLSServer(cert_file=cert_file, key_file=key_file))

    assert name("b.example", "a.example", "127.0.0.1") == "a.example"
    assert name("*.example.org", "127.0.0.1") == "headway.example.org"
    assert name("::1") == "::1"
    assert name("a.example", expired=True) is None


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YW5uOnNlY3JldA==", ("ann", "secret")),
        ("basic YW5uOmE6Yg==", ("ann", "a:b")),
        ("Basic YW5u", None),
        ("Basic !", None),
        ("Basic /w==", None),
        ("Bearer YW5uOnNlY3JldA==", None),
    ],
)
def test_what_a_basic_authorization_says(header: str, found: tuple[str, str] | None) -> None:
    assert credentials(header) == found


# ── an exporter with TLS and passwords ──────────────────────────────────────────────────────────────────────────────


class Secured:
    """An exporter whose web configuration can be changed. `get` asks it as somebody who knows the authority."""

    def __init__(self, folder: Path, authority: Authority, config: dict[str, Any], **environ: str) -> None:
        self.authority = authority
        self.config = folder / "web.yml"
        self.write(config)
        flags = ("--web.config.file", str(self.config), "--sample-interval", "0.2")
        self.exporter = RunningExporter(folder / "data", flags, environ).start()

    def write(self, config: dict[str, Any]) -> None:
        """JSON is YAML. In one step: the exporter may read it at any moment."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(json.dumps(config))
        fresh.replace(self.config)

    def get(self, path: str, **more: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.exporter.url + path, verify=str(self.authority.file), timeout=30, **more)

    def environment(self, **more: str) -> dict[str, str]:
        return self.exporter.client_env | {"HEADWAY_CA_FILE": str(self.authority.file)} | more


def tls(authority: Authority, name: str = "local", **more: Any) -> dict[str, Any]:
    files = {"cert_file": str(authority.folder / f"{name}.crt"), "key_file": str(authority.folder / f"{name}.key")}
    return {"tls_server_config": files | more}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secured]:
    headers = {"headers": {"Strict-Transport-Security": "max-age=60", "Content-Security-Policy": "default-src 'self'"}}
    config = tls(authority) | {"basic_auth_users": {"prometheus": HASH}, "http_server_config": headers}
    found = Secured(tmp_path_factory.mktemp("secured"), authority, config)
    yield found
    found.exporter.kill()


def test_everybody_needs_a_key_or_a_password_here_too(secured: Secured) -> None:
    assert secured.exporter.url.startswith("https://")
    refused = secured.get("/metrics")
    assert refused.status_code == 401 and "Basic" in refused.headers["www-authenticate"]
    assert "Basic" not in secured.get("/api/processes", headers={"Sec-Fetch-Mode": "cors"}).headers["www-authenticate"]
    for wrong in (("prometheus", "x"), ("nobody", WORD), ("prometheus", WORD + "x" * 100)):
        assert secured.get("/metrics", auth=wrong).status_code == 401, wrong
    right = secured.get("/metrics", auth=("prometheus", WORD))
    assert right.status_code == 200 and "headway_build_info" in right.text
    assert secured.get("/metrics", headers={"Authorization": f"Bearer {secured.exporter.key}"}).status_code == 200


def test_wrong_passwords_have_to_wait_and_keep_nobody_else_out(tmp_path: Path, authority: Authority) -> None:
    here = Secured(tmp_path, authority, {"basic_auth_users": {"prometheus": HASH}})
    try:
        assert here.get("/metrics", auth=("prometheus", WORD)).status_code == 200
        codes = [here.get("/metrics", auth=("prometheus", "wrong")).status_code for _ in range(BURST + 2)]
        assert codes[: BURST - 1] == [401] * (BURST - 1) and codes[-1] == 429
        assert here.get("/metrics", auth=("prometheus", WORD)).status_code == 200, "one that was right is remembered"
        fields = {"user": "prometheus", "key": WORD}
        origin = {"Origin": here.exporter.url}
        signed_in = requests.post(f"{here.exporter.url}/login", fields, headers=origin, allow_redirects=False, timeout=30)
        assert signed_in.status_code == 303
    finally:
        here.exporter.kill()


def test_a_password_is_for_looking_only(secured: Secured) -> None:
    url, verify = secured.exporter.url, str(secured.authority.file)
    body = {"name": "job", "type": "task"}
    answer = requests.post(f"{url}/api/processes", json=body, auth=("prometheus", WORD), verify=verify, timeout=30)
    assert answer.status_code == 403 and "prometheus has viewer" in answer.json()["detail"]
    assert secured.get("/processes", auth=("prometheus", WORD), headers={"Accept": "text/html"}).status_code == 200


def test_headers_of_the_file_are_added_where_the_exporter_says_nothing(secured: Secured) -> None:
    answer = secured.get("/api/processes", auth=("prometheus", WORD))
    assert answer.headers["strict-transport-security"] == "max-age=60"
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    page = secured.get("/processes", auth=("prometheus", WORD), headers={"Accept": "text/html"})
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_one_signs_in_with_a_password_and_the_cookie_is_for_tls_only(secured: Secured) -> None:
    with requests.Session() as session:
        session.verify = str(secured.authority.file)
        session.trust_env = False
        url, page = secured.exporter.url, {"Accept": "text/html"}
        away = session.get(f"{url}/history", headers=page, allow_redirects=False, timeout=30)
        assert away.status_code == 303 and away.headers["location"] == "/login?next=/history"
        fields = {"user": "prometheus", "key": "wrong"}
        assert session.post(f"{url}/login", fields, headers={"Origin": url}, timeout=30).status_code == 401
        fields["key"] = WORD
        answer = session.post(f"{url}/login", fields, headers={"Origin": url}, allow_redirects=False, timeout=30)
        assert answer.status_code == 303 and answer.headers["set-cookie"].startswith("__Host-headway_")
        assert "; Secure" in answer.headers["set-cookie"]
        assert session.get(f"{url}/history", headers=page, allow_redirects=False, timeout=30).status_code == 200


def test_old_versions_and_plain_http_get_nothing(secured: Secured) -> None:
    context = ssl.create_default_context(cafile=secured.authority.file)
    plain = socket.create_connection(("127.0.0.1", secured.exporter.port), timeout=30)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        assert connection.version() == "TLSv1.3" and connection.selected_alpn_protocol() is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("127.0.0.1", secured.exporter.port), timeout=30)
    with plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    with pytest.raises(requests.RequestException):
        requests.get(f"http://127.0.0.1:{secured.exporter.port}/health", timeout=30)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured.exporter.url}/health", timeout=30)


def test_client_sdk_and_command_line_speak_to_it(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, ca = secured.exporter, str(secured.authority.file)
    assert Client(exporter.url, exporter.key, ca_file=ca).ready()["status"] == "ready"
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        Client(exporter.url, exporter.key).ready()
    with pytest.raises(Unreachable, match=r"none\.pem"):
        Client(exporter.url, exporter.key, ca_file=str(tmp_path / "none.pem"))
    environ = secured.environment()
    script = "from headway import Reporter\nwith Reporter('told over tls', total=2) as r:\n    r.update(2)\n"
    subprocess.run([sys.executable, "-c", script], env=environ, check=True, timeout=60)
    told = [sys.executable, "-m", "headway", "report", "create", "--name", "by a shell"]
    subprocess.run(told, env=environ, check=True, timeout=60, capture_output=True)
    listed = subprocess.run(
        [sys.executable, "-m", "headway", "ps", "--all"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert "told over tls" in listed.stdout and "by a shell" in listed.stdout, listed.stderr
    monkeypatch.setenv("HEADWAY_CA_FILE", ca)
    with Client(exporter.url, exporter.key) as client:
        (one,) = client.list(state="all", name="told over tls")
        assert one["status"] == "done"


def test_prometheus_scrapes_it_with_a_password_and_its_authority(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "word").write_text(WORD)
    job = {
        "scheme": "https",
        "tls_config": {"ca_file": str(secured.authority.file)},
        "basic_auth": {"username": "prometheus", "password_file": str(tmp_path / "word")},
    }
    with prometheus(tmp_path, [f"127.0.0.1:{secured.exporter.port}"], job) as address:
        (up,) = ask(address, 'up{job="headway"}')
        assert up["value"] == 1.0 and ask(address, "headway_build_info")


def test_a_script_that_began_before_tls_is_heard_by_the_spool(secured: Secured) -> None:
    exporter = secured.exporter
    old = secured.environment(HEADWAY_URL=f"http://127.0.0.1:{exporter.port}")
    script = "from headway import Reporter\nwith Reporter('from before') as r:\n    pass\n"
    subprocess.run([sys.executable, "-c", script], env=old, check=True, timeout=60)
    key = {"Authorization": f"Bearer {exporter.key}"}
    wait_until(lambda: secured.get("/api/processes?state=all&name=from+before", headers=key).json()["data"], 30, "it to arrive")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_certificates_and_passwords_are_those_of_the_files_now(tmp_path: Path, authority: Authority) -> None:
    """And what the exporter starts knows its certificate whatever name it is for, and whoever signed it."""
    shutil.copytree(authority.folder, tmp_path / "files")
    moved = Authority(tmp_path / "files", "other")
    here = Secured(tmp_path, authority, {})
    try:
        here.exporter.stop()
        files = {"cert_file": "files/s.crt", "key_file": "files/s.key"}
        here.write({"tls_server_config": files, "basic_auth_users": {"ann": HASH}})
        here.exporter.start()

        def ask(ca: Path, password: str = WORD) -> int:
            environ = {"HEADWAY_CA_FILE": str(ca), "HEADWAY_SERVER_NAME": "build7.example"}
            code = (
                "import requests, sys; from headway.reporter.trust import Trust; s = requests.Session(); Trust.of().mount(s)\n"
                "print(s.get(sys.argv[1], auth=('ann', sys.argv[2]), timeout=20).status_code)"
            )
            command = [sys.executable, "-c", code, f"{here.exporter.url}/health", password]
            done = subprocess.run(command, env=here.exporter.client_env | environ, capture_output=True, text=True, timeout=60)
            return int(done.stdout) if done.returncode == 0 else 0

        assert ask(authority.file) == 200
        moved.issue("s", "build7.example")
        assert ask(moved.file) == 200 and ask(authority.file) == 0, "the new certificate, for new connections"
        (tmp_path / "files/s.key").write_text("half")
        assert ask(moved.file) == 200, "the old one, while the files do not fit"
        moved.issue("s", "build7.example")
        again = {"ann": bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()}
        here.write({"tls_server_config": files, "basic_auth_users": again})
        assert ask(moved.file, "another") == 200 and ask(moved.file) == 401
        here.write({"tls_server_config": files, "basic_auth_users": {"ann": "no hash"}})
        assert ask(moved.file, "another") == 401, "nobody by password while the file is wrong"
        headers = {"Authorization": f"Bearer {here.exporter.key}"}
        trust = {"verify": False, "timeout": 20, "headers": headers}
        ready = requests.get(f"{here.exporter.url}/ready", **trust)  # type: ignore[arg-type]
        assert ready.status_code == 503 and "bcrypt" in ready.json()["detail"]
        track = requests.post(
            f"{here.exporter.url}/api/processes/track",
            json={"command": "true", "name": "started"},
            **trust,  # type: ignore[arg-type]
        )
        assert track.status_code == 201, track.text

        def ended() -> bool:
            found = requests.get(f"{here.exporter.url}/api/processes/{track.json()['data']['id']}", **trust)  # type: ignore[arg-type]
            return bool(found.json()["data"]["status"] == "done")

        wait_until(ended, 30, "the end of what the exporter started")
    finally:
        here.exporter.kill()


def test_clients_can_be_made_to_show_a_certificate(tmp_path: Path, authority: Authority) -> None:
    folder = authority.folder
    asked = tls(authority, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(authority.file))
    asked["tls_server_config"]["client_allowed_sans"] = ["prometheus.example"]
    ours = {"HEADWAY_CLIENT_CERT": str(folder / "client.crt"), "HEADWAY_CLIENT_KEY": str(folder / "client.key")}
    here = Secured(tmp_path, authority, asked, **ours)
    try:
        key = {"Authorization": f"Bearer {here.exporter.key}"}
        shown = (str(folder / "client.crt"), str(folder / "client.key"))
        assert here.get("/metrics", cert=shown, headers=key).status_code == 200
        other = (str(folder / "local.crt"), str(folder / "local.key"))
        for wrong in (None, other):
            with pytest.raises(requests.RequestException):
                here.get("/metrics", cert=wrong, headers=key)
        listed = subprocess.run(
            [sys.executable, "-m", "headway", "ps"], env=here.environment(**ours), capture_output=True, text=True, timeout=60
        )
        assert listed.returncode == 0, listed.stderr
    finally:
        here.exporter.kill()


def test_a_file_that_cannot_be_used_stops_the_start_in_words(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("basic_auth_user: {}")
    for flag in ("--web-config-file", "--web.config.file"):
        command = [sys.executable, "-m", "headway", "serve", "--data-dir", str(tmp_path / "data"), flag, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "did you mean basic_auth_users" in done.stderr, done.stderr
    with pytest.raises(ConfigError, match="there is no"):
        read(tmp_path / "missing.yml")
