#!/usr/bin/python
"""Check the variables of all roles of the collection at once. The action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: role_arguments
short_description: Check the variables of all roles before the first one begins
description:
  - Holds each variable of the collection's roles against the role's own C(argument_specs.yml), so that a value which
    only the last role would refuse ends a play before anything is touched.
  - A variable that is not set, or depends on what a role is yet to find out, is left to its role.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  host:
    description: The host whose variables are checked.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse values that a role would not take
  slm.serving.role_arguments:
    host: "{{ groups['inference'] | first }}"
"""

RETURN = r"""
problems:
  description: A sentence for each value that its role would refuse.
  type: list
  elements: str
  returned: always
"""
