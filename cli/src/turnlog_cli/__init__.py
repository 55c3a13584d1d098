"""turnlog up, demo, import, rebuild, verify …."""
