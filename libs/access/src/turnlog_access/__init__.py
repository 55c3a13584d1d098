"""Credentials: API keys, access tokens, the gate that asks for them."""
