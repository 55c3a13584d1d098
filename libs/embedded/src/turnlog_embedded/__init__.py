"""Real PostgreSQL, NATS and Valkey under one data folder."""
