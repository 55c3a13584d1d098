"""The follower: contiguous batches of a log from NATS and PostgreSQL."""

from turnlog_follow.follower import Batch, Follower, FollowSettings, IncarnationChanged

__all__ = ["Batch", "FollowSettings", "Follower", "IncarnationChanged"]
