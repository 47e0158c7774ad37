"""Tests of the collection's Python, in the folders of plugins/."""
