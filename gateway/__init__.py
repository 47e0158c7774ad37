"""The gateway: a clinical note goes in over HTTP, typed fields come out, each with the words that it rests on."""

__version__ = "0.2.0"
