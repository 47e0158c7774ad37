"""What the roles' molecule scenarios share: an instance in a local region of its own, with an empty registry."""
