"""Events to read models: the projector, rebuild and verification."""

from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_projector.rebuild import Comparison, RebuildOptions, RebuildReport, rebuild
from turnlog_projector.verify import Difference, VerifyOptions, VerifyReport, verify

__all__ = [
    "Comparison",
    "Difference",
    "Projector",
    "ProjectorOptions",
    "RebuildOptions",
    "RebuildReport",
    "VerifyOptions",
    "VerifyReport",
    "rebuild",
    "verify",
]
