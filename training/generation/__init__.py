"""Examples of a task from an OpenAI-compatible service, each checked before it is kept."""
