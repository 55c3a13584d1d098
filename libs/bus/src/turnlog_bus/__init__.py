"""NATS JetStream: connect, subjects, publish, consume."""
