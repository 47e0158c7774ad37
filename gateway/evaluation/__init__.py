"""How right a model's answers are: rules, scores, intervals, and whether two runs differ significantly.

A data set and the answers to it go in (`evaluation.evaluate`); a table, a JSON document and a page come out. `collect`
asks a gateway for the answers, `answers` reads them from a file. Training uses the same rules, in an environment of its
own, so this package keeps to Python 3.11. numpy, jsonschema and Jinja2 are the extra `evaluation`: the service never
imports this package, and the gateway's image leaves it out.
"""
