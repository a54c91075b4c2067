"""The program with its long waits shortened, so that an hour's outage fits into a minute: `python -m
tests.chaos.product --config FILE serve`. Nothing else is changed.

A request of the double lasts at most CAP_S, as a cloud portal's lasts at most 60 s; everything derived from that
shrinks with it.
"""

from __future__ import annotations

from itgrix_bx import logbook
from itgrix_bx.cli import main
from itgrix_bx.delivery import finishing, registering, schedule, trouble, worker

CAP_S = 3.0
WINDOW_S = 20.0  # in which the portal finds a registered call again: 30 minutes in life

schedule.IN_FLIGHT_S = CAP_S + 1.5
schedule._SLOWEST_S = 4.0
trouble._FOR_ALL_AGAIN_S = 3.0
registering._FOUND_AGAIN_S = WINDOW_S - 3.0
registering._REQUEST_S = finishing._REQUEST_S = CAP_S + 0.5
worker._LEASE_S = 25.0
worker._LIVE_S = 10.0
worker._SLOWEST_PROBE_S = 2.0
logbook._TRY_AGAIN_S = 0.5

if __name__ == "__main__":
    main()
