"""Models that write summaries: one port, two providers. Making one opens no connection."""

from turnlog_compressor.models.port import Model, ModelError, Reply

__all__ = ["Model", "ModelError", "Reply"]
