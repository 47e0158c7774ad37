"""Reading what a user gave as a file, and writing results: the same rules for every command.

The trainer's image has this package too, so it keeps to Python 3.11 and the standard library.
"""
