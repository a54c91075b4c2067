"""Scripted SIP phones and a trunk over UDP: enough of RFC 3261 to call, answer, refuse, hold and transfer.

One `Agent` is one socket; its calls are told apart by Call-ID. Times are taken from the clock of this process, which
is the server's too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

Policy = Callable[["Call"], Awaitable[None]]

_TONE = bytes(0x80 if n % 16 < 8 else 0x00 for n in range(160))  # 20 ms of a µ-law square wave


class Message:
    """A SIP message as received; bytes that are no UTF-8 are kept by surrogates."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]

    def get(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name.lower()]

    @property
    def status(self) -> int:
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return self.get("CSeq").split()[-1] if self.status else self.first.split()[0]


class Call:
    """One call of an agent. `at` holds when things happened: started, ringing, answered, ended."""

    def __init__(self, agent: Agent, call_id: str) -> None:
        self.agent, self.call_id = agent, call_id
        self.local_tag, self.remote_tag = secrets.token_hex(4), ""
        self.local = self.remote = self.target = ""
        self.sequence = secrets.randbelow(500) + 1
        self.invite: Message | None = None
        self.branch = ""
        self.status = 0
        self.at: dict[str, float] = {"started": time.time()}
        self.ringing, self.answered, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._media: asyncio.Task[None] | None = None
        self._rtp: asyncio.DatagramTransport | None = None

    @property
    def talk(self) -> float:
        """Seconds from answer to end."""
        return self.at["ended"] - self.at["answered"] if "answered" in self.at and "ended" in self.at else 0.0

    # --- what a person does ----------------------------------------------------------------------

    def ring(self) -> None:
        self._reply(180, "Ringing")

    async def answer(self) -> None:
        assert self.invite is not None
        await self._open_media()
        self._reply(200, "OK", self._sdp())
        self._mark("answered", self.answered)
        self._talk_to(self.invite.body)

    def refuse(self, status: int = 486, phrase: str = "Busy Here") -> None:
        self._reply(status, phrase)
        self.status = status
        self._end()

    async def hang_up(self) -> None:
        if self.ended.is_set():
            return
        if self.answered.is_set():
            self._request("BYE")
            self._end()
        elif self.invite is None:
            self._request("CANCEL", sequence=self.sequence, branch=self.branch)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.ended.wait(), 5)
        else:
            self.refuse(603, "Decline")

    def press(self, digit: str) -> None:
        """DTMF by SIP INFO."""
        self._request("INFO", f"Signal={digit}\r\nDuration=160\r\n", kind="application/dtmf-relay")

    async def dial(self, digits: str) -> None:
        """DTMF, one after the other."""
        for digit in digits:
            self.press(digit)
            await asyncio.sleep(0.25)

    def hold(self) -> None:
        self._request("INVITE", self._sdp("sendonly"))

    def transfer(self, to: str, replaces: Call | None = None) -> None:
        """REFER: blind, or attended when `replaces` is the consultation call."""
        host, port = self.agent.pbx
        target = f"sip:{to}@{host}:{port}"
        if replaces is not None:
            target += f"?Replaces={replaces.call_id}%3Bto-tag%3D{replaces.remote_tag}%3Bfrom-tag%3D{replaces.local_tag}"
        self._request("REFER", extra=f"Refer-To: <{target}>\r\nReferred-By: <sip:{self.agent.user}@{host}>\r\n")

    # --- the wire --------------------------------------------------------------------------------

    async def invite_to(self, number: str, display: str, user: str) -> None:
        await self._open_media()
        host, port = self.agent.pbx
        self.local = f'"{display}" <sip:{user}@{self.agent.host}>' if display else f"<sip:{user}@{self.agent.host}>"
        self.target = f"sip:{number}@{host}:{port}"
        self.remote = f"<{self.target}>"
        self.branch = self._request("INVITE", self._sdp())

    def _request(
        self,
        method: str,
        body: str = "",
        *,
        extra: str = "",
        sequence: int | None = None,
        branch: str = "",
        kind: str = "application/sdp",
    ) -> str:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        branch = branch or f"z9hG4bK{secrets.token_hex(6)}"
        tag = f";tag={self.remote_tag}" if self.remote_tag else ""
        target = self.remote.strip("<>") if method == "CANCEL" else self.target
        content = f"Content-Type: {kind}\r\n" if body else ""
        self.agent.send(
            f"{method} {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.agent.host}:{self.agent.port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: {self.local};tag={self.local_tag}\r\nTo: {self.remote}{tag}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {sequence} {method}\r\nContact: {self.agent.contact}\r\n{extra}{content}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        return branch

    def _reply(self, status: int, phrase: str, body: str = "", to: Message | None = None) -> None:
        message = to or self.invite
        assert message is not None
        tag = "" if "tag=" in message.get("To") or status == 100 else f";tag={self.local_tag}"
        vias = "".join(f"Via: {via}\r\n" for via in message.all("Via"))
        content = "Content-Type: application/sdp\r\n" if body else ""
        self.agent.send(
            f"SIP/2.0 {status} {phrase}\r\n{vias}From: {message.get('From')}\r\nTo: {message.get('To')}{tag}\r\n"
            f"Call-ID: {message.get('Call-ID')}\r\nCSeq: {message.get('CSeq')}\r\nContact: {self.agent.contact}\r\n"
            f"{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _sdp(self, direction: str = "sendrecv") -> str:
        assert self._rtp is not None
        port = self._rtp.get_extra_info("sockname")[1]
        return (
            f"v=0\r\no=- 1 {self.sequence} IN IP4 {self.agent.host}\r\ns=-\r\nc=IN IP4 {self.agent.host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
        )

    # --- what arrives ----------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        if message.status:
            self._hear_reply(message)
        elif message.method == "CANCEL":
            self._reply(200, "OK", to=message)
            if not self.ended.is_set() and not self.answered.is_set():
                self._reply(487, "Request Terminated")
                self.status = 487
                self._end()
        elif message.method == "BYE":
            self._reply(200, "OK", to=message)
            self._end()
        elif message.method == "INVITE":
            self._talk_to(message.body)
            self._reply(200, "OK", self._sdp(), to=message)
        elif message.method != "ACK":
            self._reply(200, "OK", to=message)

    def _hear_reply(self, message: Message) -> None:
        if message.method != "INVITE":
            return
        if message.status in (180, 183):
            self._mark("ringing", self.ringing)
        if message.status < 200:
            return
        self.remote_tag = _tag(message.get("To")) or self.remote_tag
        sequence = int(message.get("CSeq").split()[0])
        if message.status >= 300:
            self._request("ACK", sequence=sequence, branch=self.branch)
            if not self.answered.is_set():
                self.status = message.status
                self._end()
            return
        self.target = _uri(message.get("Contact")) or self.target
        self._request("ACK", sequence=sequence)
        self._talk_to(message.body)
        self.status = 200
        self._mark("answered", self.answered)

    def _mark(self, what: str, event: asyncio.Event) -> None:
        self.at.setdefault(what, time.time())
        event.set()

    def _end(self) -> None:
        self._mark("ended", self.ended)
        if self._media is not None:
            self._media.cancel()
        if self._rtp is not None:
            self._rtp.close()

    # --- audio -----------------------------------------------------------------------------------

    async def _open_media(self) -> None:
        loop = asyncio.get_running_loop()
        self._rtp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(self.agent.host, 0))

    def _talk_to(self, sdp: str) -> None:
        host, port = re.search(r"c=IN IP4 (\S+)", sdp), re.search(r"m=audio (\d+)", sdp)
        if host and port and self._rtp is not None:
            if self._media is not None:
                self._media.cancel()
            self._media = asyncio.ensure_future(self._tone((host.group(1), int(port.group(1)))))

    async def _tone(self, to: tuple[str, int]) -> None:
        assert self._rtp is not None
        source = secrets.token_bytes(4)
        for packet in range(1_000_000):
            header = b"\x80\x00" + (packet & 0xFFFF).to_bytes(2, "big") + (packet * 160 % 2**32).to_bytes(4, "big")
            self._rtp.sendto(header + source + _TONE, to)
            await asyncio.sleep(0.02)


class Agent(asyncio.DatagramProtocol):
    """A phone, or a trunk. `policy(number)` says what to do with a call to `number`."""

    def __init__(self, user: str, host: str, port: int, pbx: tuple[str, int], policy: Callable[[str], Policy]) -> None:
        self.user, self.host, self.port, self.pbx = user, host, port, pbx
        self.calls: dict[str, Call] = {}
        self.incoming: asyncio.Queue[Call] = asyncio.Queue()
        self._policy = policy
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._registered = asyncio.Event()

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}@{self.host}:{self.port}>"

    async def open(self) -> Agent:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, self.port))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    def close(self) -> None:
        for call in self.calls.values():
            call._end()
        if self._transport is not None:
            self._transport.close()

    def send(self, text: str) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode("utf-8", "surrogateescape"), self.pbx)

    async def register(self, expires: int = 3600) -> None:
        """Until told otherwise, or that it is no longer here (0)."""
        host, port = self.pbx
        self._registered.clear()
        for _ in range(10):
            self.send(
                f"REGISTER sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};"
                f"branch=z9hG4bK{secrets.token_hex(6)};rport\r\nMax-Forwards: 70\r\n"
                f"From: <sip:{self.user}@{host}>;tag={secrets.token_hex(4)}\r\nTo: <sip:{self.user}@{host}>\r\n"
                f"Call-ID: {secrets.token_hex(8)}\r\nCSeq: 1 REGISTER\r\nContact: {self.contact}\r\n"
                f"Expires: {expires}\r\nContent-Length: 0\r\n\r\n"
            )
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._registered.wait(), 1)
                return
        raise RuntimeError(f"phone {self.user} could not register")

    async def call(self, number: str, *, display: str = "", user: str = "") -> Call:
        call = Call(self, secrets.token_hex(10))
        self.calls[call.call_id] = call
        await call.invite_to(number, display, user or self.user)
        return call

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        if len(data) < 10:
            return
        message = Message(data)
        call = self.calls.get(message.get("Call-ID"))
        if message.method == "REGISTER" and message.status == 200:
            self._registered.set()
        elif call is not None and not (message.method == "INVITE" and not message.status and call.invite is None
                                       and not call.answered.is_set()):  # fmt: skip
            call.hear(message)
        elif message.method == "INVITE" and not message.status:
            self._take(message)
        elif not message.status and message.method != "ACK":
            stranger = Call(self, message.get("Call-ID"))
            stranger._reply(200, "OK", to=message)

    def _take(self, message: Message) -> None:
        call = Call(self, message.get("Call-ID"))
        self.calls[call.call_id] = call
        call.invite = message
        call.remote_tag = _tag(message.get("From"))
        call.remote = re.sub(r";tag=[^;]+", "", message.get("From"))
        call.local = message.get("To")
        call.target = _uri(message.get("Contact"))
        call._reply(100, "Trying")
        self.incoming.put_nowait(call)
        number = message.first.split()[1].removeprefix("sip:").split("@")[0]
        task = asyncio.ensure_future(self._policy(number)(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _tag(header: str) -> str:
    found = re.search(r";tag=([^;>\s]+)", header)
    return found.group(1) if found else ""


def _uri(header: str) -> str:
    found = re.search(r"<([^>]+)>", header)
    return found.group(1) if found else header.split(";")[0]


# --- what a phone does with a call ---------------------------------------------------------------


def answers(after: float, hangs_up_after: float | None = None) -> Policy:
    """Rings, answers, and hangs up itself when told to."""

    async def policy(call: Call) -> None:
        call.ring()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(call.ended.wait(), after)
            return
        await call.answer()
        if hangs_up_after is not None:
            await asyncio.sleep(hangs_up_after)
            await call.hang_up()

    return policy


def only_rings() -> Policy:
    async def policy(call: Call) -> None:
        call.ring()

    return policy


def by_device(policies: Mapping[Agent, Policy]) -> Policy:
    """What the phones of one extension do; those that are not named only ring."""

    async def policy(call: Call) -> None:
        await policies.get(call.agent, only_rings())(call)

    return policy


def refuses(status: int, phrase: str, after: float = 0.3) -> Policy:
    async def policy(call: Call) -> None:
        await asyncio.sleep(after)
        if not call.ended.is_set():
            call.refuse(status, phrase)

    return policy
