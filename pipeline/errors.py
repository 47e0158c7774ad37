"""What stops a command."""


class PipelineError(Exception):
    """Something stands in the way; the message says what, and what to do."""
