#!/usr/bin/python
"""Document the action `training_follow`, which runs on the controller (plugins/action/training_follow.py)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: training_follow
short_description: Follow the fine-tuning on the instance to its end
description:
  - Shows progress while the training lasts. A lost session is opened anew, because the training depends on none.
  - Fails when the training failed, was stopped, or goes on beyond C(limit); C(active) then says whether it still runs.
  - Changes nothing.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  directory:
    description: Directory of the runs on the instance.
    type: path
    required: true
  every:
    description: Seconds between two polls.
    type: int
    required: true
  wait:
    description: Seconds that a poll waits on the instance for the end.
    type: int
    required: true
  limit:
    description: Seconds in all.
    type: int
    required: true
  losses:
    description: How many sessions may be lost in a row.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Follow the training
  slm.serving.training_follow:
    directory: /var/lib/slm-ft-serving/training
    every: 120
    wait: 30
    limit: 43200
    losses: 5
"""

RETURN = r"""
active:
  description: Whether the training still runs.
  type: bool
  returned: always
state:
  description: The run's state.json.
  type: dict
  returned: always
job:
  description: The run's C(run), C(stamp) and C(destination).
  type: dict
  returned: always
polls:
  description: How often the instance answered.
  type: int
  returned: always
lost:
  description: How many sessions were lost.
  type: int
  returned: always
"""
