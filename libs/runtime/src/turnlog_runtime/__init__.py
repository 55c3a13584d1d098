"""Settings, logging, metrics, health and lifecycle of a service."""
