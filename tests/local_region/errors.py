"""The one error that the local region's commands show to people."""


class RegionError(RuntimeError):
    """The region cannot do what was asked; the message says why and what to do."""
