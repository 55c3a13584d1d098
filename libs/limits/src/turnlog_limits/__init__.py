"""Rate limits and quotas by key and tenant."""
