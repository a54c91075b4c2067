"""A double of a Bitrix24 portal: its REST methods, its traps, its limits and its bad days."""

from itgrix_bx.emulator.portal.double import PortalEmulator
from itgrix_bx.emulator.portal.program import run

__all__ = ["PortalEmulator", "run"]
