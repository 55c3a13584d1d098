"""The follower: contiguous batches of a log from NATS and PostgreSQL."""
