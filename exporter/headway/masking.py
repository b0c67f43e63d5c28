"""Secrets in command lines and environment-like text become `***` before anything is stored.

Two ways to know one: by the name before it (`--password X`, `DB_TOKEN=X`, `"api_key": "X"`, `Authorization: Bearer X`, user:X@
in an address, the password flags of some programs) and by its shape (the prefixes that issuers give their tokens). In doubt
about where a secret ends, more is masked rather than less. Every pattern reads each part of the text a bounded number of times,
so that the time is linear in the length, whatever the text.

Compiling all patterns takes longer than what an agent's hook does with its event. So each is compiled when it is first needed, and
needed only where the text holds a word without which it cannot match.
"""

from __future__ import annotations

import re
from functools import cache

TYPE_CHECKING = False  # as in typing, which is slow to import: hooks of agents load this
if TYPE_CHECKING:
    from typing import Final

MASK: Final = "***"


def mask_command(text: str) -> str:
    """`text` without the secrets in it. Applying it again changes nothing."""
    for _ in range(_PASSES):
        before = text
        text = _by_name(_in_addresses(_by_shape(_by_program(text))))
        if text == before:
            break
    return text


# A mask can end a word that was glued to the next one, which then is seen for the first time; further passes settle that.
_PASSES: Final = 4


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


# ── by shape ────────────────────────────────────────────────────────────────────────────────────────────────────────

_SHAPES: Final = r"""(?xa)(?<![A-Za-z0-9])(?:
      (?P<dashed> sk-[A-Za-z0-9_-]{16,} | pypi-[A-Za-z0-9_-]{16,} )                        # OpenAI, Anthropic; PyPI
    | (?P<jwt>    eyJ[A-Za-z0-9_.-]{20,} )
    | (?:gh[pousr]|npm|hf)_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{20,}        # GitHub, npm, Hugging Face, GitLab
    | xox[a-z]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}                                  # Slack
    | A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])                                                   # AWS
    | AIza[\w-]{35} | ya29\.[\w-]{20,}                                                     # Google
    | [rs]k_(?:live|test)_[A-Za-z0-9]{16,}                                                 # Stripe
    | dop_v1_[a-f0-9]{64} | SG\.[\w-]{22}\.[\w-]{20,}                                      # DigitalOcean, SendGrid
    | glsa_\w{20,} | hvs\.[\w-]{20,} | dckr_pat_[\w-]{20,}                                 # Grafana, Vault, Docker
    | hw_[0-9a-f]{8}_[\w-]{43}                                                             # ours
    )"""
# How they begin.
_BEGINNINGS: Final = (
    *("sk-", "pypi-", "eyJ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "npm_", "hf_", "github_pat_", "glpat-", "xox", "xapp-"),
    *("AKIA", "ASIA", "AIza", "ya29.", "rk_", "sk_", "dop_v1_", "SG.", "glsa_", "hvs.", "dckr_pat_", "hw_"),
)
_OTHER_SHAPES: Final = r"""(?xas)(?P<keep>
      hooks\.slack\.com/services/ | discord(?:app)?\.com/api/webhooks/\d{1,20}/ | (?<![0-9])\d{8,10}:(?=[\w-]{35}(?![\w-]))
    )[\w/-]+
    | -----BEGIN[ ][A-Z ]{0,32}PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]{0,32}PRIVATE[ ]KEY-----|\Z)"""
_OTHER_PARTS: Final = ("hooks.slack.com/", "/api/webhooks/", "-----BEGIN ", *(f"{digit}:" for digit in range(10)))
_BEARER: Final = r"(?a)(?i:\b(bearer|basic)[ \t]+)([A-Za-z0-9._~+/-]{8,}=*)"


def _by_shape(text: str) -> str:
    if _any_of(_BEGINNINGS, text):
        text = _pattern(_SHAPES).sub(_shape, text)
    if _any_of(_OTHER_PARTS, text):
        text = _pattern(_OTHER_SHAPES).sub(lambda match: f"{match['keep'] or ''}{MASK}", text)
    if not _any_of(("bearer", "basic"), text.lower()):
        return text
    return _pattern(_BEARER).sub(lambda m: f"{text[m.start() : m.start(2)]}{MASK}" if _looks_random(m[2], 16) else m[0], text)


def _any_of(parts: tuple[str, ...], text: str) -> bool:
    return any(map(text.__contains__, parts))


def _shape(match: re.Match[str]) -> str:
    found = match[0]
    if match["dashed"] and not re.search("[0-9]", found):
        return found  # sk-learn-classification-report
    if match["jwt"] and "." not in found.rstrip("."):
        return found
    return MASK


# ── in addresses: scheme://user:password@host ───────────────────────────────────────────────────────────────────────

_ADDRESS: Final = r"""://(?P<user>[^\s\0/@:'"]{0,256})(?::(?P<password>[^\s\0/'"]{1,512}))?@"""
_LONG_USER: Final = 20  # https://TOKEN@host, as against git@host


def _in_addresses(text: str) -> str:
    return _pattern(_ADDRESS).sub(_address, text) if "://" in text and "@" in text else text


def _address(match: re.Match[str]) -> str:
    user, password = match["user"], match["password"]
    if password is not None:
        return f"://{user}:{MASK}@"
    return f"://{MASK}@" if len(user) >= _LONG_USER else match[0]


# ── by the flags of programs that are known to take a password in a short one ───────────────────────────────────────

_START: Final = r"(?:^|(?<=[\s\0/;|&('\"]))"
_VALUE: Final = r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s\0]+)"""
_PROGRAMS: Final = tuple(
    (hint, rf"{_START}(?:{program})(?=[\s\0])", rf"((?<=[\s\0]){flag}){_VALUE}")
    for hint, program, flag in (
        ("my", r"mysql\w{0,16}", r"-p(?=[^\s\0])"),
        ("mariadb", r"mariadb(?:-\w{1,16})?", r"-p(?=[^\s\0])"),
        ("7z", r"7z[ar]?", r"-p(?=[^\s\0])"),
        ("sshpass", r"sshpass", r"-p[\s\0]{0,4}"),
        ("login", r"docker[\s\0]login|podman[\s\0]login|helm[\s\0]registry[\s\0]login", r"-p[\s\0]{1,4}"),
        ("zip", r"(?:un)?zip", r"-P[\s\0]{1,4}"),
        ("redis-cli", r"redis-cli", r"-a[\s\0]{1,4}"),
        ("ldap", r"ldap\w{1,16}", r"-w[\s\0]{1,4}"),
        ("openssl", r"openssl", r"-pass(?:in|out)?[\s\0]{1,4}pass:"),
        ("curl", r"curl", r"(?:-u[\s\0]{0,4}|--(?:proxy-)?user[\s\0=])[^\s\0:]{0,128}:"),
        ("http", r"https?", r"(?:-a|--auth)[\s\0=][^\s\0:]{0,128}:"),
    )
)


def _by_program(text: str) -> str:
    for hint, program, flag in _PROGRAMS:
        if hint in text and (match := _pattern(program).search(text)):
            start = match.end()
            text = text[:start] + _pattern(flag).sub(lambda found: found[1] + _masked(found[2]), text[start:])
    return text


# ── by name ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_NAMED: Final = r"""(?xa)(?<![\w.-])(?P<dash>--?)?(?P<name>[A-Za-z_][\w.-]{0,127}+)\\?["']?
    (?:(?P<sign>[ \t]+[:=][ \t]+|=|:[ \t]*)|(?(dash)[ \t\0]+|(?!)))"""
_QUOTED: Final = r""""(?:[^"\\]|\\.)*"|'[^']*'"""
_RUN: Final = r"[^\s\0]+"
_QUERY_RUN: Final = r"[^\s\0&#]+"
_LINE: Final = r"""[^\r\n\0"']+"""
_SCHEME: Final = r"(?i)(?:bearer|basic|token|digest|negotiate|apikey|key)[ \t]+(?=[^\s\0])"
_CLOSERS: Final = "\"'`,;)]}\\"
_WORDS: Final = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
_PLAIN: Final = frozenset({MASK, "", "true", "false", "null", "none", "yes", "no", "on", "off"})

# The last word of a name decides: password_file and max_tokens hold no secret, db_password does.
_SECRET_ENDS: Final = ("password", "passwd", "passphrase", "secret", "token", "apikey", "secretkey", "accesskey", "privatekey")
_SECRET_WORDS: Final = frozenset({"pass", "pw", "pwd", "sshpass", "jwt", "otp", "authorization"})
_SECRET_KEYS: Final = frozenset(
    {
        *("access", "account", "api", "auth", "client", "encryption", "decryption", "hmac"),
        *("license", "master", "private", "secret", "service", "session", "shared", "signing"),
    }
)
_MAYBE: Final = frozenset(
    {*("key", "auth", "session", "sid", "cookie", "sig", "signature"), *("credential", "credentials", "pat", "cred", "creds")}
)
# Tokens of text and of pages are no secrets.
_HARMLESS_TOKENS: Final = frozenset(
    {*("eos", "bos", "pad", "unk", "mask", "sep", "cls", "stop"), *("max", "min", "per", "next", "page", "start", "end", "new")}
)
# The name of a secret holds one of these.
_PARTS: Final = (
    *("pass", "pw", "jwt", "otp", "auth", "secret", "token"),
    *("key", "session", "sid", "cookie", "sig", "cred", "pat"),
)


def _by_name(text: str) -> str:
    if not _any_of(_PARTS, text.lower()):
        return text
    named, done = _pattern(_NAMED), list[str]()
    position = copied = 0
    while match := named.search(text, position):
        position = match.end()
        certain = _is_secret(match["name"])
        if certain is None:
            continue
        header = bool(match["sign"])
        start = position
        if header and (scheme := _pattern(_SCHEME).match(text, start)):
            start = scheme.end()
        if _last_word(match["name"]) == "cookie" and ":" in (match["sign"] or ""):
            value, certain = _pattern(_LINE).match(text, start), True
        else:
            in_query = match.start() > 0 and text[match.start() - 1] in "?&"
            value = _pattern(_QUOTED).match(text, start) or _pattern(_QUERY_RUN if in_query else _RUN).match(text, start)
        if value is None or (not match["sign"] and value[0].startswith("-")):
            continue
        masked = _masked(value[0])
        if not certain and not _looks_random(value[0].strip(_CLOSERS)):
            continue
        done += (text[copied:start], masked)
        position = copied = value.end()
    return "".join((*done, text[copied:])) if done else text


def _words(name: str) -> list[str]:
    return [word.lower() for word in _pattern(_WORDS).findall(name)]


def _last_word(name: str) -> str:
    words = _words(name)
    return words[-1] if words else ""


def _is_secret(name: str) -> bool | None:
    """True: what follows is one. False: it is one if it looks like one. None: no."""
    words = _words(name)
    while words and words[-1].isdecimal():
        words.pop()  # password2
    if not words or name == "PWD" or name == "OLDPWD":
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _SECRET_WORDS or last.endswith(_SECRET_ENDS):
        return None if last == "token" and before in _HARMLESS_TOKENS else True
    if (last == "key" and before in _SECRET_KEYS) or words[-3:] == ["secret", "key", "base"]:
        return True
    return False if last in _MAYBE else None


def _looks_random(value: str, least: int = 20) -> bool:
    """Hex, or letters in both cases with digits, as keys are and neither words nor paths."""
    if len(value) < 16:
        return False
    if re.fullmatch(r"[0-9a-fA-F]{16,}", value):
        return bool(re.search("[0-9]", value) and re.search("[a-fA-F]", value))
    body = value.rstrip("=")
    if len(body) < least or not re.fullmatch(r"[A-Za-z0-9+/_.~-]+", body) or ("/" in body and "+" not in body and body == value):
        return False
    return all(re.search(kind, body) for kind in ("[a-z]", "[A-Z]", "[0-9]")) or (body != value and least < 20)


def _masked(value: str) -> str:
    """The mask within the quotes of the value, and before what closes something else."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value if value[1:-1].lower() in _PLAIN else f"{value[0]}{MASK}{value[0]}"
    body = value.rstrip(_CLOSERS)
    return value if body.lower() in _PLAIN else MASK + value[len(body) :]
