"""The configuration: every kind of mistake is one sentence that names file, key and cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from itgrix_bx.config import ConfigError, load

GOOD = '[portal]\nwebhook = "https://example.bitrix24.ru/rest/1/hunter2pw/"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_the_portal_must_be_given(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD), {})
    assert settings.portal.webhook.get_secret_value().endswith("/hunter2pw/")
    assert settings.fastagi.listen == "127.0.0.1:4575"
    assert settings.inbound.deadline == 1.5
    assert settings.numbers.country == "RU"


def test_every_key_of_the_contract_is_known(tmp_path: Path) -> None:
    load(
        write(
            tmp_path,
            GOOD
            + """default_user = 1
requests_per_second = 2.0
burst = 50
[database]
url = "mysql+pymysql://user:password@host/itgrix_bx"
[journal]
directory = "/var/lib/itgrix-bx"
keep_days = 365
[pbx]
name = "office-"
[fastagi]
listen = "127.0.0.1:4575"
allow = ["127.0.0.0/8"]
[inbound]
deadline = 1.5
answer = "portal"
[calls]
finisher = "last"
[recordings]
directory = "/var/spool/asterisk/monitor"
asterisk_directory = ""
wait = 3600
mp3 = false
public_url = ""
[ami]
address = "127.0.0.1:5038"
username = "itgrix-bx"
secret = "…"
[cdr]
url = "mysql+pymysql://u:p@h/asteriskcdrdb"
[web]
listen = "127.0.0.1:8077"
[numbers]
country = "RU"
anonymous = ""
""",
        ),
        {},
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[portal\n", "no valid TOML"),
        (GOOD + "defalt_user = 2\n", "did you mean default_user?"),
        (GOOD + "[recording]\n", "[recording] is not a known section; did you mean recordings?"),
        (GOOD + "default_user = 0\n", "[portal] default_user"),
        (GOOD + 'burst = "many"\n', "[portal] burst"),
        ('[portal]\nwebhook = "http://example.bitrix24.ru/rest/1/hunter2pw/"\n', "must be https"),
        ('[portal]\nwebhook = "https://example.bitrix24.ru/"\n', "https://PORTAL/rest/USER/SECRET/"),
        (GOOD + '[fastagi]\nlisten = "4575"\n', "HOST:PORT"),
        (GOOD + '[fastagi]\nallow = ["10.0.0.300"]\n', "is no network"),
        (GOOD + '[calls]\nfinisher = "best"\n', "[calls] finisher"),
        (GOOD + '[database]\nurl = "postgres://x"\n', "sqlite:/// or mysql+pymysql://"),
        (GOOD + "[inbound]\ndeadline = -1\n", "[inbound] deadline"),
        ('[portal]\nwebhook_file = "/no/such/file"\n', "webhook_file names /no/such/file"),
        ("portal = 3\n", "[portal]"),
        (GOOD + '[recordings]\npublic_url = "ftp://pbx.example.com/"\n', "[recordings] public_url"),
        (GOOD + '[recordings]\npublic_url = "https:///recordings/"\n', "https://pbx.example.com/recordings/"),
        (GOOD + '[recordings]\npublic_url = "https://u:hunter2pw@pbx.example.com/"\n', "[recordings] public_url"),
        (GOOD + '[recordings]\npublic_url = "https://pbx.example.com/?a=b"\n', "[recordings] public_url"),
        (GOOD + '[recordings]\npublic_url = "https://pbx.example.com/a b/"\n', "[recordings] public_url"),
        (GOOD + '[recordings]\npublic_url = "https://[pbx/"\n', "[recordings] public_url"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    message = str(caught.value)
    assert says in message
    assert str(path) in message
    assert "\n" not in message
    assert "hunter2pw" not in message


def test_the_public_url_is_a_directory(tmp_path: Path) -> None:
    text = GOOD + '[recordings]\npublic_url = "https://pbx.example.com:8443/recordings"\n'
    assert load(write(tmp_path, text), {}).recordings.public_url == "https://pbx.example.com:8443/recordings/"


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="itgrix-bx setup"):
        load(tmp_path / "none.toml", {})


def test_a_file_in_another_encoding_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes("# Ромашка\n".encode("cp1251"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load(path, {})


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    secret = tmp_path / "webhook"
    secret.write_text("https://example.bitrix24.ru/rest/1/other/\n")
    settings = load(write(tmp_path, f'[portal]\nwebhook_file = "{secret}"\n'), {})
    assert settings.portal.webhook.get_secret_value().endswith("/other/")


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    environ = {
        "ITGRIX_BX__INBOUND__DEADLINE": "0.7",
        "ITGRIX_BX__FASTAGI__ALLOW": '["10.0.0.0/8"]',
        "ITGRIX_BX__PBX__NAME": "office-",
        "OTHER": "x",
    }
    settings = load(write(tmp_path, GOOD), environ)
    assert settings.inbound.deadline == 0.7
    assert settings.fastagi.allow == ["10.0.0.0/8"]
    assert settings.pbx.name == "office-"


def test_a_wrong_environment_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SECTION__KEY"):
        load(write(tmp_path, GOOD), {"ITGRIX_BX__DEADLINE": "1"})


def test_secrets_do_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD + '[ami]\nsecret = "tiger"\n'), {})
    assert "hunter2pw" not in repr(settings)
    assert "tiger" not in repr(settings)


def test_the_certificate_of_asterisk_is_read_from_its_file(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(pem)
    config = write(tmp_path, GOOD + f'[ami]\ntls = true\nca_file = "{pem}"\n')
    assert "BEGIN CERTIFICATE" in load(config, {}).ami.ca
    pem.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"\[ami\] ca: holds no certificate"):
        load(config, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[database]\nurl = "mysql+pymysql://"\n',
            "[database] url: must look like mysql+pymysql://USER:PASSWORD@HOST/",
        ),
        ('[database]\nurl = "mysql+pymysql://u:hunter2pw@h:x/d"\n', "[database] url: must look like mysql+pymysql://"),
        ('[cdr]\nurl = "mysql+pymysql://u:hunter2pw@h/"\n', "[cdr] url: must look like mysql+pymysql://"),
        ("[fastagi]\nallow = []\n", "[fastagi] allow: must name who may connect"),
        ('[fastagi]\nallow = "10.0.0.0/8"\n', "[fastagi] allow: must be a list in square brackets"),
        ("[fastagi]\nlisten = 4575\n", "[fastagi] listen: must be text in quotes"),
        ('[[fastagi]]\nlisten = "127.0.0.1:1"\n', "[fastagi]: must be a section with keys of its own"),
        ("[recordings]\ndirectory = 5\n", "[recordings] directory: must be a path in quotes"),
        ('[recordings]\nmp3 = "maybe"\n', "[recordings] mp3: must be true or false"),
        ("[journal]\nkeep_days = 1.5\n", "[journal] keep_days: must be a whole number"),
        ('[inbound]\ndeadline = "soon"\n', "[inbound] deadline: must be a number"),
        ('[inbound]\nanswer = "fast"\n', "[inbound] answer: must be 'portal' or 'cache'"),
        ("[inbound]\ndeadline = 99\n", "[inbound] deadline: must be less than or equal to 10"),
        ('[numbers]\ncountry = "ru"\n', "[numbers] country: must be a country's two capital letters, for example RU"),
        ('[numbers]\ncountry = "XX"\n', "[numbers] country: must be a country's two capital letters, for example RU"),
        ('[numbers]\nanonymous = "nobody"\n', "[numbers] anonymous: must be a telephone number of digits alone"),
        ('[pbx]\nname = "мини-АТС"\n', "[pbx] name: must be at most 24 latin letters"),
        (f'[pbx]\nname = "{"x" * 25}"\n', "[pbx] name: must be at most 24 latin letters"),
    ],
)
def test_what_a_value_must_be_is_said_in_words_not_as_a_pattern(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, GOOD + text), {})
    assert says in str(caught.value)
    for jargon in ("pattern", "input", "pydantic", "class", "FastAgi", "hunter2pw"):
        assert jargon not in str(caught.value)


@pytest.mark.parametrize("path", ["rest/abc/hunter2pw/", "rest/1/hunter2pw/profile.json", "rest/1/hunter2pw/?a=b"])
def test_what_the_client_would_not_take_as_a_webhook_stops_the_start_in_words(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"\[portal\] webhook: must be https://PORTAL/rest/USER/SECRET/") as caught:
        load(write(tmp_path, f'[portal]\nwebhook = "https://example.bitrix24.ru/{path}"\n'), {})
    assert "hunter2pw" not in str(caught.value)


def test_a_server_may_be_reached_by_a_socket_by_ipv6_and_with_any_password(tmp_path: Path) -> None:
    for url in (
        "u:p%40/ss@[::1]:3306/d",
        "u@/d?unix_socket=/run/mysqld/mysqld.sock",
        "u:p/q@db.local/d?charset=utf8mb4",
    ):
        assert load(write(tmp_path, GOOD + f'[database]\nurl = "mysql+pymysql://{url}"\n'), {})


def test_a_file_that_windows_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(path, {}).portal.webhook.get_secret_value().endswith("/hunter2pw/")


def test_text_given_by_the_environment_may_look_like_a_number(tmp_path: Path) -> None:
    environ = {
        "ITGRIX_BX__AMI__SECRET": "1e5",
        "ITGRIX_BX__NUMBERS__ANONYMOUS": "70000000000",
        "ITGRIX_BX__PBX__NAME": '"007"',
        "ITGRIX_BX__PORTAL__BURST": "250",
        "ITGRIX_BX__RECORDINGS__MP3": "true",
    }
    settings = load(write(tmp_path, GOOD), environ)
    assert (settings.ami.secret.get_secret_value(), settings.numbers.anonymous) == ("1e5", "70000000000")
    assert (settings.pbx.name, settings.portal.burst, settings.recordings.mp3) == ("007", 250, True)


@pytest.mark.parametrize("name", ["ITGRIX_BX__FASTAGI__LISTN", "ITGRIX_BX__PORTAL__DEFAULT_USER"])
def test_a_mistake_in_the_environment_names_the_variable_not_the_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(ConfigError, match=rf"^{name}: \[") as caught:
        load(path, {name: "x"})
    assert str(path) not in str(caught.value)
