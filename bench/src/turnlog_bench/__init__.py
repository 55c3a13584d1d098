"""The yardsticks."""
