"""The follower: contiguous batches of a log from NATS and PostgreSQL."""

from turnlog_follow.follower import Batch, Follower, FollowSettings, IncarnationChanged
from turnlog_follow.lag import FollowerLag, Lag, Lags

__all__ = ["Batch", "FollowSettings", "Follower", "FollowerLag", "IncarnationChanged", "Lag", "Lags"]
