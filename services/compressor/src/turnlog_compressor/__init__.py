"""Rolling summaries: choose, prompt, model, parse, append."""
