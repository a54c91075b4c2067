"""Who comes in where on a plain Asterisk: the `context=` of trunks and phones in the files of PJSIP and SIP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from itgrix_bx.pbx.installer.reading import Line, lines
from itgrix_bx.pbx.installer.tree import Tree

PJSIP, WIZARD, SIP = "pjsip.conf", "pjsip_wizard.conf", "sip.conf"
_KEYS = {PJSIP: "context", WIZARD: "endpoint/context", SIP: "context"}


@dataclass
class Section:
    """A section with what it takes from its templates; of a repeated setting the last counts."""

    name: str
    template: bool
    own: list[Line] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that names a context, and the endpoints it sends there; `file` is whose settings these are."""

    file: str
    line: Line
    context: str
    trunks: tuple[str, ...]
    phones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A context that endpoints come to."""

    context: str
    trunks: tuple[str, ...]
    phones: tuple[str, ...]


def entries(tree: Tree) -> list[Entry]:
    """Every line that sends endpoints to a context. Raises InstallError."""
    return [entry for file in _KEYS for entry in _entries(file, _sections(lines(tree, file)))]


def reloads(found: Iterable[Entry]) -> list[str]:
    """The commands by which Asterisk reads these endpoints again; calls go on."""
    modules = {PJSIP: "res_pjsip.so", WIZARD: "res_pjsip_config_wizard.so", SIP: "chan_sip.so"}
    return [f"module reload {modules[file]}" for file in dict.fromkeys(entry.file for entry in found)]


def places(found: Iterable[Entry]) -> list[Place]:
    """By context, in the order of the files."""
    contexts: dict[str, tuple[list[str], list[str]]] = {}
    for entry in found:
        trunks, phones = contexts.setdefault(entry.context, ([], []))
        trunks += [name for name in entry.trunks if name not in trunks]
        phones += [name for name in entry.phones if name not in phones]
    return [Place(context, tuple(trunks), tuple(phones)) for context, (trunks, phones) in contexts.items()]


def _entries(file: str, sections: list[Section]) -> Iterator[Entry]:
    key = _KEYS[file]
    users: dict[Line, list[Section]] = {
        line: [] for section in sections for line in section.own if line.pair()[0] == key
    }
    for section in sections:
        if _is_endpoint(file, section) and (line := _decides(section, sections, key)):
            users[line].append(section)
    named = _named_by_trunks(sections)
    of_trunks = {line.pair()[1] for line, those in users.items() for s in those if _is_trunk(file, s, named)}
    for line, those in users.items():
        context = line.pair()[1]
        trunks = tuple(s.name for s in those if _is_trunk(file, s, named, like=context in of_trunks))
        yield Entry(file, line, context, trunks, tuple(s.name for s in those if s.name not in trunks))


def _sections(found: Iterable[Line]) -> list[Section]:
    sections: list[Section] = []
    for line in found:
        if header := line.header:
            options = [word.strip() for word in (header[2] or "").split(",") if word.strip()]
            if "+" in options and (earlier := _named(sections, header[1])):
                sections.append(earlier)  # it goes on: what follows is added to it
                continue
            inherited = [given for word in options if (given := _named(sections, word))]
            settings = {key: value for given in inherited for key, value in given.settings.items()}
            section = Section(header[1], "!" in options, settings=settings)
            section.settings["templates"] = ",".join(given.name for given in inherited)
            sections.append(section)
        elif sections and not line.text.startswith("#"):
            key, value = line.pair()
            sections[-1].own.append(line)
            sections[-1].settings[key] = value
    return list({id(section): section for section in sections}.values())


def _named(sections: list[Section], name: str) -> Section | None:
    return next((section for section in reversed(sections) if section.name == name), None)


def _decides(section: Section, sections: list[Section], key: str) -> Line | None:
    """The line that gives `section` its context: its own last one, else that of its last template with one."""
    own = [line for line in section.own if line.pair()[0] == key]
    if own:
        return own[-1]
    for name in reversed(section.settings.get("templates", "").split(",")):
        template = next((given for given in sections if given.name == name and given.template), None)
        if template is not None and template is not section and (line := _decides(template, sections, key)):
            return line
    return None


def _is_endpoint(file: str, section: Section) -> bool:
    kind = section.settings.get("type", "").lower()
    kinds = {PJSIP: ("endpoint",), WIZARD: ("wizard",), SIP: ("peer", "friend", "user")}[file]
    return not section.template and kind in kinds


def _named_by_trunks(sections: list[Section]) -> set[str]:
    """The endpoints of pjsip.conf that something of a trunk speaks of."""
    return {
        section.settings["endpoint"]
        for section in sections
        if section.settings.get("type", "").lower() in ("identify", "registration") and "endpoint" in section.settings
    }


def _is_trunk(file: str, section: Section, named: set[str], *, like: bool = False) -> bool:
    """`like`: what to think of an endpoint that shows nothing of either kind."""
    settings = section.settings
    if file == WIZARD:
        return settings.get("accepts_registrations", "no").lower() not in ("yes", "true", "1", "on")
    if file == SIP:
        return settings.get("host", "dynamic").lower() != "dynamic"
    if section.name in named or "outbound_auth" in settings:
        return True
    return like and "auth" not in settings and not section.name.isdigit()
