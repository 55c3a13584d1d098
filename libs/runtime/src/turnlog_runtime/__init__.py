"""What every service needs at run time: settings, logs, the ASGI edge, health, and its life from start to drain."""
