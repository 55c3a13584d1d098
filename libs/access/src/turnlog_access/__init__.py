"""Credentials: API keys, access tokens, the gate that asks for them. `door.py` is the way in; `key_format.py` mints."""
