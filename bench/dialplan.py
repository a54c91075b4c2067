"""The product's line: what the example dialplan does, FastAGI hooks over TCP, without a thread a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bench.callers import Made
from bench.office import DID
from bench.portal import Portal
from bench.product import Product
from itgrix_bx.emulator.asterisk import AgiCall

_HOOK_S = 30.0
_LOOK_S = 0.5
_UNDER_WAY = ("open", "registered", "ended", "finished")


class Hook(AgiCall):
    """Asterisk's side of one AGI(), awaited."""

    async def play(self) -> dict[str, str]:
        """The variables the server set. Raises OSError (also for a timeout) when it cannot be reached or hangs."""
        async with asyncio.timeout(self._timeout_s):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                writer.writelines(self._environment())
                while line := await reader.readline():
                    writer.write(self._reply(line.decode("utf-8", "replace").rstrip("\r\n")))
            finally:
                writer.close()
        return self.set


class Dialplan:
    """Calls the hooks of a running product."""

    def __init__(self, product: Product, portal: Portal) -> None:
        self._product = product
        self._portal = portal
        self._rows_before = 0

    async def greet(self, calls: Sequence[Made], patience_s: float) -> None:
        """Let these clients call once and hang up at once, so that they are known; wait until that is delivered."""
        for call in calls:
            await self.inbound(call)
            await self._hook(call, "hangup", [call.call_id, "in"], variables={"DIALSTATUS": "CANCEL"})
        await self._until(len(calls), 0, patience_s)
        self._rows_before = len(calls)

    async def inbound(self, call: Made) -> None:
        told = await self._hook(call, "inbound", [call.call_id, DID])
        call.route, call.state = told.get("B24_ROUTE", ""), told.get("B24_STATE", "")

    async def ring(self, call: Made) -> None:
        await self._hook(call, "ring", [call.call_id, "-".join(call.ringing)])

    async def answer(self, call: Made) -> None:
        leg = {"agi_uniqueid": f"{call.call_id}9", "agi_channel": f"PJSIP/{call.extension}-{call.arrival.number:08x}"}
        await self._hook(call, "answer", [call.call_id, call.extension], leg)

    async def hangup(self, call: Made) -> None:
        variables = {
            "CDR(start,u)": f"{call.came_at:.6f}",
            "DIALSTATUS": "ANSWER",
            "HANGUPCAUSE": "16",
            "ANSWEREDTIME": str(int(call.talked_s)),
            "CONNECTEDLINE(num)": call.extension,
            "MIXMONITOR_FILENAME": call.recording,
        }
        await self._hook(call, "hangup", [call.call_id, "in"], variables=variables)

    async def settle(self, calls: Sequence[Made], patience_s: float) -> None:
        await self._until(self._rows_before + len(calls), len(calls), patience_s)

    def pending(self) -> set[str]:
        return {call["id"] for call in self._product.calls() if call["state"] in _UNDER_WAY}

    async def _until(self, rows: int, files: int, patience_s: float) -> None:
        end = asyncio.get_running_loop().time() + patience_s
        while asyncio.get_running_loop().time() < end:
            counts = await asyncio.to_thread(self._portal.counts)
            if not counts["calls"] and counts["statistics"] >= rows and counts["files"] >= files:
                return
            await asyncio.sleep(_LOOK_S)

    async def _hook(
        self,
        call: Made,
        name: str,
        args: list[str],
        leg: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        around = {
            "agi_uniqueid": call.call_id,
            "agi_channel": f"PJSIP/trunk-{call.arrival.number:08x}",
            "agi_callerid": call.arrival.client.number,
            "agi_dnid": DID,
        }
        named = {"CHANNEL(linkedid)": call.call_id, "FROM_DID": DID} | dict(variables or {})
        hook = Hook(self._product.address, name, args, env=around | dict(leg or {}), variables=named, timeout_s=_HOOK_S)
        try:
            told = await hook.play()
        except OSError as error:
            told = {"B24_RC": f"no answer ({type(error).__name__})"}
        if told.get("B24_RC") != "ok":
            call.hitches.append(f"{name}: {told.get('B24_RC', 'closed without an answer')}")
        return told
