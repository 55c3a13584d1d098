"""HTTP read API."""
