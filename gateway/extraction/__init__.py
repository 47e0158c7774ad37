"""From a text to fields: token budget, chunks, the engine's answers, decoding and merging."""
