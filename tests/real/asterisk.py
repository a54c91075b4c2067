"""A real Asterisk 22 or 16 in a chroot of its own, on loopback and free ports.

Debian 12 has no Asterisk; Debian unstable has 22 and Debian 11 has 16, the last with Macro(): they are unpacked beside
the system (debootstrap, about a minute each, kept in a cache) and share the host's network. Phones and the trunk are
told apart by their loopback addresses.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import trustme

from itgrix_bx.pbx import ami_user
from tests.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "dialplan-examples"
PHONES, TRUNK = "127.0.0.1", "127.0.0.2"
# The release of Debian that has it, and its packages there.
_SUITES = {
    "22": ("sid", "asterisk,asterisk-modules,odbc-mariadb"),
    "16": ("bullseye", "asterisk,asterisk-modules,asterisk-voicemail,odbc-mariadb"),
}
_BUILT = "itgrix-bx-complete"
_START_S = 60
AMI_SECRET = "ami secret; with, signs"
# What a user may read and do; the first is the one the documentation asks for.
AMI_USERS = {"itgrix-bx": (ami_user.READ, ami_user.WRITE), "filters": ("call", "reporting,system"),
             "operator": ("all", "all"), "nobody": ("", "")}  # fmt: skip
_TABLES = Path(__file__).parent / "asteriskcdrdb.sql"
_NOT_NEEDED = """
    chan_dahdi chan_iax2 chan_ooh323 chan_skinny chan_mgcp chan_unistim chan_console chan_alsa chan_oss
    chan_mobile chan_motif res_phoneprov res_pjsip_phoneprov_provider pbx_ael pbx_lua pbx_dundi res_corosync
    res_config_ldap res_snmp res_xmpp cdr_radius cel_radius cdr_pgsql cel_pgsql res_config_pgsql cdr_tds
    cel_tds app_voicemail_imap app_voicemail_odbc res_hep res_prometheus res_calendar res_smdi app_festival
    res_stir_shaken res_pjsip_stir_shaken res_ari res_http_websocket chan_websocket res_aeap res_speech_aeap
    app_alarmreceiver app_amd app_minivm cdr_odbc func_odbc res_config_odbc res_config_mysql app_mysql cdr_mysql
""".split()  # noqa: SIM905
_RECORDS = ["res_odbc", "cdr_adaptive_odbc", "cel_odbc"]  # loaded where a site keeps records


def cache() -> Path:
    """Where built parts are kept between runs."""
    return Path(os.environ.get("ITGRIX_BX_TEST_CACHE", Path.home() / ".cache" / "itgrix-bx"))


def chroot(version: str = "22") -> Path:
    """The directory with that Asterisk installed; built when it is missing. Raises RuntimeError saying what to do."""
    target = cache() / f"asterisk-{version}"
    if (target / _BUILT).exists():
        _add_odbc(target)
        return target
    if os.geteuid() != 0:
        raise RuntimeError("the tests need root to unpack and start Asterisk: run them as root")
    if shutil.which("debootstrap") is None:
        _run(["apt-get", "install", "-y", "-qq", "debootstrap"])
    shutil.rmtree(target, ignore_errors=True)
    unfinished = target.with_suffix(".building")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    print(f"unpacking Asterisk into {target} (about a minute, once) …", flush=True)
    suite, packages = _SUITES[version]
    _run(["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(unfinished), _mirror()])
    (unfinished / _BUILT).touch()
    unfinished.rename(target)
    return target


def _add_odbc(root: Path) -> None:
    """A chroot of an earlier version lacks the driver for MariaDB."""
    if any(root.glob("usr/lib/*/odbc/libmaodbc.so")):
        return
    _mount(root)
    # Names are looked up as the host does, in this command only: what Asterisk sees is `_names`.
    names = " && ".join(f"mount --bind /etc/{file} {root}/etc/{file}" for file in ("nsswitch.conf", "resolv.conf"))
    apt = "apt-get -qq -o Acquire::Check-Valid-Until=false"
    packages = f"{apt} update && {apt} install -y --no-install-recommends odbc-mariadb"
    _run(["unshare", "--mount", "sh", "-c", f"{names} && chroot {root} sh -c '{packages}'"])


def _mirror() -> str:
    """The Debian mirror this machine's apt uses."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
    )
    sites = [site for site in targets.stdout.split() if "security" not in site]
    if not sites:
        raise RuntimeError("apt knows no Debian mirror: add one to /etc/apt/sources.list")
    return sites[0]


def _run(command: Sequence[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command[:2])} failed; run it by hand. It said: {(done.stdout + done.stderr)[-800:]}"
        )


@dataclass
class Site:
    """What the Asterisk of a test is to have."""

    phones: list[str]
    queues: dict[str, list[str]]
    dialplan: str
    agi_port: int
    records_port: int = (
        0  # MariaDB's on loopback, whose asteriskcdrdb takes CDR and CEL as FreePBX writes them; 0: none
    )
    voicemail: list[str] = field(default_factory=list)
    version: str = "22"  # Asterisk's: 22 or 16
    files: dict[str, str] = field(default_factory=dict)  # further files beside extensions.conf
    database: dict[str, str] = field(default_factory=dict)  # AstDB rows, without the leading slash
    two_devices: list[str] = field(default_factory=list)  # phones that may be registered twice
    one_call_each: list[str] = field(default_factory=list)  # queues that ring no agent who talks


class Asterisk:
    """A running Asterisk. `sip` is where phones and trunk send, `ami` and `ami_tls` where its manager listens;
    `monitor` the recordings as the host sees them."""

    asterisk_monitor: str

    def __init__(self, name: str, site: Site) -> None:
        self.root = chroot(site.version)
        self.name = name
        self.sip = (PHONES, free_port(socket.SOCK_DGRAM))
        self.trunk = (TRUNK, free_port(socket.SOCK_DGRAM, TRUNK))
        self.ami = (PHONES, free_port(socket.SOCK_STREAM))
        self.ami_tls = (PHONES, free_port(socket.SOCK_STREAM))
        self.authority = trustme.CA()
        self.etc = self.root / "etc" / name
        self.spool = self.root / "var/spool" / name
        self.log = self.root / "var/log" / name / "full"
        self.monitor = self.spool / "monitor"
        self.asterisk_monitor = f"/var/spool/{name}/monitor"
        self._site = site
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Configure and run; returns when phones can register."""
        _mount(self.root)
        _names(self.root)
        for path in (self.etc, self.monitor, self.log.parent, self.root / "run" / self.name, self._lib()):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        self._configure()
        command = ["chroot", str(self.root), "/usr/sbin/asterisk", "-C", f"/etc/{self.name}/asterisk.conf", "-f", "-n"]
        environment = os.environ | {"ODBCSYSINI": f"/etc/{self.name}"}  # an odbc.ini of its own
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        end = time.monotonic() + _START_S
        while "fully booted" not in self.cli("core waitfullybooted"):
            if time.monotonic() > end:
                raise RuntimeError(f"Asterisk did not start; {self.log} says why")
            time.sleep(0.2)

    def stop(self) -> None:
        self.cli("core stop now")
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()

    def cli(self, command: str) -> str:
        """What `asterisk -rx` prints; empty while it cannot be reached."""
        full = ["chroot", str(self.root), "/usr/sbin/asterisk", "-C", f"/etc/{self.name}/asterisk.conf", "-rx", command]
        return subprocess.run(full, capture_output=True, text=True, check=False, errors="replace").stdout

    def channels(self) -> int:
        """Channels that exist now."""
        found = re.search(r"(\d+) active channel", self.cli("core show channels count"))
        return int(found.group(1)) if found else -1

    # --- configuration ---------------------------------------------------------------------------

    def _lib(self) -> Path:
        return self.root / "var/lib" / self.name

    def _configure(self) -> None:
        for directory in ("sounds", "moh", "documentation"):
            (self._lib() / directory).symlink_to(f"/usr/share/asterisk/{directory}")
        not_needed = _NOT_NEEDED + ([] if self._site.records_port else _RECORDS)
        files = {
            "asterisk.conf": self._main(),
            "modules.conf": "[modules]\nautoload=yes\n" + "".join(f"noload = {m}.so\n" for m in not_needed),
            "logger.conf": "[general]\ndateformat=%s.%3q\n[logfiles]\nfull => notice,warning,error,verbose(4)\n",
            "manager.conf": self._manager(),
            "http.conf": "[general]\nenabled=no\n",
            "pjsip.conf": self._pjsip(),
            "rtp.conf": f"[general]\nrtpstart={self.sip[1] % 20000 + 20000}\nrtpend={self.sip[1] % 20000 + 20800}\n",
            "queues.conf": self._queues(),
            "voicemail.conf": "[general]\nformat=wav\nminsecs=0\n[default]\n"
            + "".join(f"{box} => 1234,Box {box}\n" for box in self._site.voicemail),
            "features.conf": "[general]\ntransferdigittimeout=3\npickupexten=*8\n"
            "[featuremap]\nblindxfer => ##\natxfer => *2\ndisconnect => **\n",
            "res_parking.conf": "[general]\n[default]\nparkext => 700\nparkpos => 701-720\ncontext => parkedcalls\n",
            "confbridge.conf": "[general]\n[default_user]\ntype=user\nquiet=yes\n",  # a prompt delays the end
            "cdr.conf": "[general]\nenable=yes\nunanswered=yes\n",
            "indications.conf": "[general]\ncountry=us\n[us]\nringcadence=2000,4000\ndial=350+440\n"
            "busy=480+620/500,0/500\nring=440+480/2000,0/4000\ncongestion=480+620/250,0/250\n",
            "extensions.conf": self._site.dialplan,
            "itgrix-bx.conf": self._library(),
        }
        if self._site.records_port:
            files |= self._records()
        for empty in [
            "acl",
            "ccss",
            "udptl",
            "stasis",
            "pjproject",
            "dsp",
            "codecs",
            "cli",
            "extconfig",
            "cel",
            "musiconhold",
            "sorcery",
        ]:
            files.setdefault(f"{empty}.conf", "")
        for name, text in (files | self._site.files).items():
            (self.etc / name).write_text(text, encoding="utf-8")
        self._fill_database()

    def _fill_database(self) -> None:
        """AstDB, in the table Asterisk itself would make."""
        with contextlib.closing(sqlite3.connect(self._lib() / "astdb.sqlite3")) as database, database:
            database.execute("CREATE TABLE astdb (key VARCHAR(256), value VARCHAR(256), PRIMARY KEY (key))")
            rows = ((f"/{key}", value) for key, value in self._site.database.items())
            database.executemany("INSERT INTO astdb VALUES (?, ?)", rows)

    def _records(self) -> dict[str, str]:
        """FreePBX's own settings for CDR and CEL (modules cdr and cel)."""
        driver = next(self.root.glob("usr/lib/*/odbc/libmaodbc.so")).relative_to(self.root)
        apps = "confbridge,meetme,mixmonitor,queue,stopmixmonitor,voicemail,voicemailmain"
        return {
            "odbcinst.ini": f"[MariaDB]\nDriver=/{driver}\n",
            "odbc.ini": "[asteriskcdrdb]\nDriver=MariaDB\nServer=127.0.0.1\nUser=root\nDatabase=asteriskcdrdb\n"
            f"Port={self._site.records_port}\n",
            "res_odbc.conf": "[asteriskcdrdb]\nenabled=>yes\ndsn=>asteriskcdrdb\nusername=>root\npre-connect=>yes\n",
            "cdr_adaptive_odbc.conf": "[asteriskcdrdb]\nconnection=asteriskcdrdb\ntable=cdr\nalias start => calldate\n",
            "cel_odbc.conf": "[cel]\nconnection=asteriskcdrdb\nloguniqueid=yes\ntable=cel\n",
            "cel.conf": f"[general]\nenable=yes\napps={apps}\nevents=all\n",
        }

    def _library(self) -> str:
        """The shipped subroutines, only the server's port changed."""
        shipped = (EXAMPLES / "plain-asterisk/itgrix-bx.conf").read_text(encoding="utf-8")
        assert shipped.count("agi://127.0.0.1:4575") == 1
        return shipped.replace("agi://127.0.0.1:4575", f"agi://127.0.0.1:{self._site.agi_port}")

    def _main(self) -> str:
        n = self.name
        return (
            f"[directories]\nastetcdir => /etc/{n}\nastmoddir => {self._modules()}\nastvarlibdir => /var/lib/{n}\n"
            f"astdbdir => /var/lib/{n}\nastkeydir => /var/lib/{n}\nastdatadir => /usr/share/asterisk\n"
            f"astagidir => /usr/share/asterisk/agi-bin\nastspooldir => /var/spool/{n}\nastrundir => /run/{n}\n"
            f"astlogdir => /var/log/{n}\n[options]\nverbose = 4\n"
        )

    def _modules(self) -> str:
        found = next(self.root.glob("usr/lib/**/asterisk/modules"))
        return f"/{found.relative_to(self.root)}"

    def _manager(self) -> str:
        host, port = self.ami
        secret = AMI_SECRET.replace(";", "\\;")
        users = [
            f"[{name}]\nsecret={secret}\nread={read}\nwrite={write}\n"
            "deny=0.0.0.0/0.0.0.0\npermit=127.0.0.1/255.255.255.255\n"
            for name, (read, write) in AMI_USERS.items()
        ]
        self.authority.issue_cert(self.ami_tls[0]).private_key_and_cert_chain_pem.write_to_path(self.etc / "ami.pem")
        tls_host, tls_port = self.ami_tls
        general = (
            f"[general]\nenabled=yes\nport={port}\nbindaddr={host}\nchannelvars=B24_ID\ntlsenable=yes\n"
            f"tlsbindaddr={tls_host}:{tls_port}\ntlscertfile=/etc/{self.name}/ami.pem\n"
        )
        return general + "".join(users)

    def _pjsip(self) -> str:
        phone = "disallow=all\nallow=ulaw\ndirect_media=no\nrtp_symmetric=yes\ndtmf_mode=info\n"
        parts = [
            "[global]\ntype=global\ndebug=yes\n" if os.environ.get("ITGRIX_BX_TEST_LOGS") else "",
            f"[udp]\ntype=transport\nprotocol=udp\nbind={self.sip[0]}:{self.sip[1]}\n",
            f"[phone](!)\ntype=endpoint\ncontext=from-internal\n{phone}",
            "[aor](!)\ntype=aor\nmax_contacts=1\nremove_existing=yes\n",
            f"[trunk]\ntype=endpoint\ncontext=from-trunk\naors=trunk\n{phone}",
            f"[trunk]\ntype=aor\ncontact=sip:{self.trunk[0]}:{self.trunk[1]}\n",
            f"[down]\ntype=endpoint\ncontext=from-trunk\naors=down\n{phone}[down]\ntype=aor\n",  # nobody there
            f"[trunk]\ntype=identify\nendpoint=trunk\nmatch={self.trunk[0]}\n",
        ]
        parts += [self._phone(extension) for extension in self._site.phones]
        return "".join(parts)

    def _phone(self, extension: str) -> str:
        """Phones of one scenario may pick up each other's calls."""
        group = f"named_call_group={extension[:-1]}\nnamed_pickup_group={extension[:-1]}\n"
        contacts = "max_contacts=2\n" if extension in self._site.two_devices else ""
        return (
            f"[{extension}](phone)\naors={extension}\ncallerid=Phone {extension} <{extension}>\n{group}"
            f"[{extension}](aor)\n{contacts}"
        )

    def _queues(self) -> str:
        queues = "[general]\npersistentmembers=no\n"
        for name, members in self._site.queues.items():
            queues += f"[{name}]\nstrategy=ringall\ntimeout=15\nretry=1\njoinempty=yes\nsetinterfacevar=yes\n"
            queues += f"ringinuse={'no' if name in self._site.one_call_each else 'yes'}\n"
            queues += "".join(f"member => {member}\n" for member in members)
        return queues


def create_records(port: int) -> None:
    """FreePBX's database asteriskcdrdb on the MariaDB of `port`, empty."""
    with pymysql.connect(host="127.0.0.1", port=port, user="root") as connection, connection.cursor() as cursor:
        for statement in _TABLES.read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                cursor.execute(statement)


@contextlib.contextmanager
def running(site: Site) -> Iterator[Asterisk]:
    """An Asterisk of its own for the length of a `with`."""
    asterisk = Asterisk(Path(tempfile.mktemp(prefix="ibx", dir="")).name, site)
    try:
        asterisk.start()
        yield asterisk
    finally:
        asterisk.stop()
        if keep := os.environ.get("ITGRIX_BX_TEST_LOGS"):
            shutil.copy(asterisk.log, Path(keep) / f"{asterisk.name}.log")
        for path in (asterisk.etc, asterisk.spool, asterisk.log.parent, asterisk.root / "run" / asterisk.name):
            shutil.rmtree(path, ignore_errors=True)


def _names(root: Path) -> None:
    """Asterisk looks its own host's name up for each offer of sound; a resolver that does not answer costs 5 s."""
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n", encoding="utf-8")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n", encoding="utf-8")


def _mount(root: Path) -> None:
    """The devices are those debootstrap has made: whoever deletes the cache must not delete the machine's own."""
    if os.path.ismount(root / "dev"):  # as an earlier version left it
        _run(["umount", "--lazy", str(root / "dev")])
    if not os.path.ismount(root / "proc"):
        _run(["mount", "-t", "proc", "proc", str(root / "proc")])
