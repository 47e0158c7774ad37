"""The roles' templates, variables and modules, tested without an instance."""
