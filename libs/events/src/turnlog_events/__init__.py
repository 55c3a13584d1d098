"""Pure event model: ids, envelope, payloads, codec, fold."""
