"""What the package promises is what it has."""

from __future__ import annotations

import types

import bx24client


def test_all_is_sorted_and_equals_what_can_be_imported() -> None:
    inner = {
        "auth", "client", "commands", "gate", "health", "limits", "pages", "php", "planner", "transport", "upload",
        "worktime",
    }  # fmt: skip
    public = {name for name in vars(bx24client) if not name.startswith("_")} - inner
    assert public == set(bx24client.__all__)


def test_every_public_class_explains_itself() -> None:
    for name in bx24client.__all__:
        member = getattr(bx24client, name)
        if isinstance(member, (type, types.ModuleType)):
            assert member.__doc__, name


def test_the_example_of_the_docstring_names_real_things() -> None:
    text = bx24client.__doc__ or ""
    for name in ("search_crm_entities", "register", "show", "finish", "upload_url", "statistics"):
        assert f"telephony.{name}" in text
        assert hasattr(bx24client.telephony, name)
