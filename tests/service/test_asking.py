"""What the portal's statistics say of a call, whatever else they answer."""

from __future__ import annotations

from bx24client import Bitrix24
from itgrix_bx.calls.call import Call
from itgrix_bx.delivery.asking import row_of, row_of_external
from tests.bx24client.scripted import ScriptedPortal, answers

OTHER = {"ID": "5", "CALL_ID": "externalCall.other.1", "EXTERNAL_CALL_ID": "17.2", "PORTAL_USER_ID": "11"}
OWN = {"ID": "6", "CALL_ID": "externalCall.own.1", "EXTERNAL_CALL_ID": "17.1", "PORTAL_USER_ID": "11"}
CALL = Call("17.1", portal_call_id="externalCall.own.1")


def test_another_calls_row_is_no_proof_of_ours() -> None:
    """A filter the portal does not know is dropped without a word, and everything comes back."""
    with ScriptedPortal() as portal, Bitrix24(portal.webhook) as client:
        portal.otherwise = answers({"result": [OTHER], "total": 1})
        assert (row_of(client, CALL), row_of_external(client, "17.1")) == (None, None)
        portal.otherwise = answers({"result": [OTHER, OWN], "total": 2})
        found = row_of(client, CALL), row_of_external(client, "17.1")
        assert [row and row.id for row in found] == [6, 6]
