"""Rate limits and quotas by credential and tenant, leased from Redis in small lots."""

from turnlog_limits.gate import limits_gate

__all__ = ["limits_gate"]
