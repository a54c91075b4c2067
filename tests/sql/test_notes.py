"""Notes that all processes share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sql import Database, Notes


def test_a_note_is_what_was_made_of_it_last(database: Database) -> None:
    notes = Notes(database)
    assert notes.read("a") is None
    assert notes.change("a", lambda known: f"{known}!") == "None!"
    assert notes.change("a", lambda known: f"{known}!") == "None!!"
    assert (notes.read("a"), notes.read("b")) == ("None!!", None)


def test_machines_that_write_the_first_note_at_once_agree_on_it(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    machines = [Database(url) for _ in range(6)]

    def first(number: int) -> str:
        return Notes(machines[number]).change("key", lambda known: known or str(number))

    with ThreadPoolExecutor(len(machines)) as pool:
        assert len(set(pool.map(first, range(len(machines))))) == 1
    for machine in machines:
        machine.close()


def test_no_change_is_lost_between_machines(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    machines = [Database(url, busy_timeout_s=10.0) for _ in range(4)]

    def count(machine: Database) -> None:
        for _ in range(25):
            Notes(machine).change("count", lambda known: str(int(known or 0) + 1))

    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(count, machines))
    assert Notes(database).read("count") == "100"
    for machine in machines:
        machine.close()
