"""Times as people say them ("tomorrow at 9") become dates and times of ISO 8601; none is a guess."""
