"""Database migrations, forward only, raw SQL."""
