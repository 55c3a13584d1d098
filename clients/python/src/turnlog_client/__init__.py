"""Python client of Turnlog, the memory log of AI agents."""
