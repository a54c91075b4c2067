"""Storage: the journal of calls, the employees, and how to reach the database they live in."""

from sql.database import Database, DatabaseAwayError
from sql.journal import Journal
from sql.lines import LineRules
from sql.notes import Notes
from sql.overview import Overview
from sql.schema import check, upgrade
from sql.staff import Staff

__all__ = ["Database", "DatabaseAwayError", "Journal", "LineRules", "Notes", "Overview", "Staff", "check", "upgrade"]
