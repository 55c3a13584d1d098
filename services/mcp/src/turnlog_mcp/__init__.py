"""Turnlog as an MCP server: tools, resources and a prompt, over HTTP and stdio."""
