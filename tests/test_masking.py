"""Masking: secrets go, everything else stays, whatever is thrown at it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headway import masking
from headway.masking import mask_command

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
OURS = f"hw_0123abcd_{'aB3_-' * 8}xyz"
HEX = "3f2a9c0d1e4b5a69788796a5b4c3d2e1"

# what is given → what is kept
MASKED = {
    "mysql --password hunter2 -h db": "mysql --password *** -h db",
    "x --password=hunter2 y": "x --password=*** y",
    "x -password hunter2": "x -password ***",
    "x --password 'my pass phrase' y": "x --password '***' y",
    'x --password="my \\"pass\\" phrase" y': 'x --password="***" y',
    "x --db-password hunter2": "x --db-password ***",
    "x --api-key abc --verbose": "x --api-key *** --verbose",
    "x --apiKey=abc": "x --apiKey=***",
    "x --token\0abc\0y": "x --token\0***\0y",
    "PASSWORD=hunter2 ./run": "PASSWORD=*** ./run",
    "export DB_PASSWORD='a b'; ./run": "export DB_PASSWORD='***'; ./run",
    "A=1\0PGPASSWORD=abc\0B=2": "A=1\0PGPASSWORD=***\0B=2",
    "MYSQL_PWD=abc mysqldump x": "MYSQL_PWD=*** mysqldump x",
    "docker run -e GITHUB_TOKEN=abc -e A=b image": "docker run -e GITHUB_TOKEN=*** -e A=b image",
    "SECRET_KEY_BASE=abc rails s": "SECRET_KEY_BASE=*** rails s",
    "AWS_SECRET_ACCESS_KEY=abc/def+ghi aws s3 ls": "AWS_SECRET_ACCESS_KEY=*** aws s3 ls",
    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE aws": "AWS_ACCESS_KEY_ID=*** aws",
    "api_key: abc": "api_key: ***",
    "password = abc": "password = ***",
    "Server=x;AccountKey=abc==;": "Server=x;AccountKey=***;",
    "Uid=sa;Pwd=hunter2": "Uid=sa;Pwd=***",
    'curl -d \'{"user": "a", "password": "b c", "n": 1}\' x': 'curl -d \'{"user": "a", "password": "***", "n": 1}\' x',
    '{\\"api_key\\":\\"abc\\"}': '{\\"api_key\\":***\\"}',
    'curl -H "Authorization: Bearer abc" x': 'curl -H "Authorization: Bearer ***" x',
    "curl -H 'authorization: Basic YWRtaW46aHVudGVyMg==' x": "curl -H 'authorization: Basic ***' x",
    "curl -H 'Authorization: abc' x": "curl -H 'Authorization: ***' x",
    "curl -H 'X-Api-Key: abc' x": "curl -H 'X-Api-Key: ***' x",
    "curl -H 'Cookie: a=b; sid=c' x": "curl -H 'Cookie: ***' x",
    f"run Bearer {HEX}": "run Bearer ***",
    "curl 'https://x/y?token=abc&user=me'": "curl 'https://x/y?token=***&user=me'",
    "curl https://x/y?user=me&access_token=abc#top": "curl https://x/y?user=me&access_token=***#top",
    "psql postgres://app:s3cr:e@t@db:5432/x": "psql postgres://app:***@db:5432/x",
    "redis://:hunter2@host/0": "redis://:***@host/0",
    "git clone https://0123456789abcdef0123@host/x": "git clone https://***@host/x",
    "mysql -u root -phunter2 db": "mysql -u root -p*** db",
    "/usr/bin/mysqldump -p'hunter 2' db": "/usr/bin/mysqldump -p'***' db",
    "sshpass -p hunter2 ssh -p 22 host": "sshpass -p *** ssh -p *** host",
    "sshpass -phunter2 ssh host": "sshpass -p*** ssh host",
    "docker login -u me -p hunter2 ghcr.io": "docker login -u me -p *** ghcr.io",
    "zip -P hunter2 -r a.zip a": "zip -P *** -r a.zip a",
    "7z a -phunter2 a.7z a": "7z a -p*** a.7z a",
    "redis-cli -a hunter2 ping": "redis-cli -a *** ping",
    "ldapsearch -x -w hunter2 -b dc=x": "ldapsearch -x -w *** -b dc=x",
    "openssl enc -pass pass:hunter2 -in x": "openssl enc -pass *** -in x",
    "openssl rsa -passin pass:hunter2 -in x": "openssl rsa -passin pass:*** -in x",
    "curl -u me:hunter2 https://x": "curl -u me:*** https://x",
    "curl --user me:hunter2 https://x": "curl --user me:*** https://x",
    "http --auth me:hunter2 x": "http --auth me:*** x",
    f"x --key {HEX}": "x --key ***",
    f"signature={HEX}": "signature=***",
    "x --key Zm9vYmFyMTIzNDU2Nzg5MEFCQw==": "x --key ***",
    # by shape
    "x sk-abcdefghijklmnop1234": "x ***",
    "x sk-ant-api03-abcdefgh-ijklmnop": "x ***",
    f"x ghp_{'a1' * 18}": "x ***",
    f"x github_pat_{'a1' * 20}": "x ***",
    f"x glpat-{'a1' * 10}": "x ***",
    "x xoxb-1234567890-abcdefghij": "x ***",
    "x AKIAIOSFODNN7EXAMPLE": "x ***",
    f"x AIza{'a1_-x' * 7}": "x ***",
    f"x {JWT} y": "x *** y",
    f"x {OURS} y": "x *** y",
    f"x hf_{'aB' * 15}": "x ***",
    f"x sk_live_{'a1' * 10}": "x ***",
    "curl https://hooks.slack.com/services/T0/B0/abc123": "curl https://hooks.slack.com/services/***",
    "curl https://discord.com/api/webhooks/123/abc-def": "curl https://discord.com/api/webhooks/123/***",
    "bot 123456789:AAF-abcdefghijklmnopqrstuvwxyz01234": "bot 123456789:***",
    "k -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- z": "k *** z",
    "k -----BEGIN PRIVATE KEY-----\nabc": "k ***",
}

KEPT = [
    "",
    "python train.py --epochs 3 --lr=0.1 /data/run-7/model.bin",
    "git checkout 3f2a9c0d1e4b5a69788796a5b4c3d2e1f0a1b2c3",
    "process 0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60 --id 0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit=3f2a9c0d1e4b5a69788796a5b4c3d2e1 revision: 3f2a9c0d1e4b5a69788796a5b4c3d2e1",
    "--password-file /run/secrets/db --token-file=x PASSWORD_FILE=/run/x",
    "docker login --password-stdin --username me",
    "mkdir -p /srv/a && cp -p a b && ssh -p 22 host && docker run -p 80:80 nginx",
    "psql -p 5432 -U app db",
    "generate --max-tokens 4096 --tokenizer gpt2 --token-limit=5 --eos-token </s> tokens=17",
    "sort --key 2,2 --key=name --keyword x --monkey y keys: 5",
    "x --author me --authority z authors=3",
    "PWD=/home/me OLDPWD=/tmp make",
    "go test --bypass x --passes 3 compass=north",
    "git clone git@github.com:me/x.git ssh://git@github.com/me/x http://host:8080/x@2x.png",
    "scp me@host:/srv/x . && mail -s x a@b.example",
    "pip install sk-learn-classification-report task-runner-of-the-year risk-abcdefghijklmnop1234",
    "the bearer of news; a token of thanks; no password needed; secret sauce",
    "session=0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60 auth=basic --auth-method ldap --key backups/2024/Nightly1/abcdef",
    "secret: true --password '' token=null password: *** --token=***",
    "ansible-playbook -i hosts site.yml --limit web --user 1000",
    "12:30:45 12345678:short eyJust.a.name keyJhbGciOiJIUzI1NiJ9",
    "--password --verbose",
    "tar -C /x -czf a.tgz --exclude '*.key' .",
]


@pytest.mark.parametrize(("text", "kept"), MASKED.items())
def test_a_secret_goes(text: str, kept: str) -> None:
    assert mask_command(text) == kept


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_command(text) == text


WORDS = """--password token api_key = : *** :// u:p@ @ & ? Bearer -p mysql curl -u Authorization Cookie ; " ' \\ sk-abcdefghijkl12
-----BEGIN PRIVATE KEY-----"""
PARTS = st.sampled_from([*WORDS.split(), " ", " ", "\0", HEX, JWT, OURS])


@given(st.one_of(st.text(max_size=200), st.lists(PARTS, max_size=14).map("".join)))
@example('token="\\')
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask_command(text)
    assert mask_command(once) == once


@pytest.mark.parametrize("name", sorted({*masking._SECRET_WORDS, *masking._SECRET_ENDS, *masking._MAYBE, "master_key"}))
def test_every_name_of_a_secret_is_looked_for(name: str) -> None:
    for spelt in (name, name.title(), f"DB_{name}".upper()):
        assert mask_command(f"{spelt}={HEX}") == f"{spelt}=***"


GLUED = st.lists(
    st.sampled_from([*MASKED, *KEPT, *WORDS.split(), HEX, JWT, OURS, " ", "\0", "aB3" * 7, "A1" * 9, "=", ":"]), max_size=5
)


@given(GLUED.map("".join), st.sampled_from([str, str.upper, str.lower, str.swapcase]))
def test_no_pattern_is_left_out_that_would_have_matched(text: str, spelt: Callable[[str], str]) -> None:
    """Most are not even compiled where a text has none of the words without which they cannot match."""
    text = spelt(text)
    quick = mask_command(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_any_of", lambda parts, text: True)
        assert mask_command(text) == quick


@given(
    st.sampled_from(["--password ", "DB_TOKEN=", "api_key: ", "Authorization: Bearer ", "x&secret="]),
    st.from_regex(r"[A-Za-z0-9]{6,30}", fullmatch=True),
)
def test_no_named_secret_survives(name: str, secret: str) -> None:
    if secret.lower() not in {"true", "false", "null", "none", "basic", "bearer", "digest", "apikey", "negotiate"}:
        assert secret not in mask_command(f"run {name}{secret} and more").removeprefix(f"run {name}")


HOSTILE = r"""a - -- = ' " \ a= password= password=' password="\ :// ://a ://a: a:b@ sk- sk-a eyJ -eyJ eyJ. -eyJa. Bearer hw_ a.b- A
aA 1: 123456789: xoxb- ?token= & é [[ hooks.slack.com/services/ _ --"""
SPACED = [
    "--token ",
    "Bearer ",
    "basic  ",
    "mysql ",
    "mysql -p",
    "curl -u ",
    "-u a",
    "cookie: ",
    "token : ",
    "a \t",
    "7z ",
    "zip -P ",
    "\0",
]
ARMOUR = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN "]


@pytest.mark.parametrize("unit", [" ", *HOSTILE.split(), *SPACED, *ARMOUR])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            mask_command(text)
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(10_000) < 0.1, unit
    assert seconds(80_000) < 0.8, unit
