"""The append-only event log in PostgreSQL."""
