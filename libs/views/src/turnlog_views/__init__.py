"""Read models in Redis: keys, functions, write, read."""
