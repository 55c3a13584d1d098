"""Adapters for agent frameworks, one module each; each needs its extra (`pip install 'turnlog[openai-agents]'`).

Nothing is imported from here, so that the client needs no framework.
"""
