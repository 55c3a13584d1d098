"""OpenTelemetry traces of a turn, from the call to the read models."""
