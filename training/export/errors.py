"""Why a model cannot be written as GGUF."""


class ExportError(ValueError):
    """The model, the adapter or the type cannot be used; the message says why and what to do."""
