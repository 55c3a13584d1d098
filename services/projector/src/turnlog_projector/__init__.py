"""Events to read models; rebuild and verification."""
