"""The headers that every answer has."""

# An answer may hold what a note says: no cache keeps it, unless it sets a rule of its own, and no browser takes it for
# something else than it is.
ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
