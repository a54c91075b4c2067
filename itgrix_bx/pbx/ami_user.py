"""What the manager user in manager.conf must be allowed: the least with which everything works.

`read`: `call` are the events of channels, bridges, transfers and parking and the states of phones, `agent` those of
queues. `write`: `reporting` are questions (which channels there are, what the phones are doing, who set DND). Nobody
can begin, move or end a call with them, change a setting or see a secret.
"""

from __future__ import annotations

READ = "call,agent"
WRITE = "reporting"
