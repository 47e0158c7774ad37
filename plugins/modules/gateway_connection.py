#!/usr/bin/python
"""Document the action `gateway_connection`, which runs on the controller (plugins/action/gateway_connection.py)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_connection
short_description: Hold a way to the gateway's port open until Ctrl-C
description:
  - Forwards a port of this machine to the gateway's through a session of Systems Manager, and shows the address.
  - Ends at Ctrl-C, with the session; fails when the session is lost before.
  - Changes nothing; opens no port to the network.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  region:
    description: The instance's region.
    type: str
    required: true
  instance_id:
    description: The instance.
    type: str
    required: true
  port:
    description: The gateway's port on the instance.
    type: int
    required: true
  local_port:
    description: The port of this machine; V(0) means any that is free.
    type: int
    required: true
  url:
    description: The address that clients call the edge by, told beside the way that is opened; empty without one.
    type: str
    default: ""
  timeout:
    description: Seconds until it must be open.
    type: int
    required: true
  session_plugin:
    description: Path of the session plugin; empty means where the connection plugin looks for it.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Forward the port until Ctrl-C
  slm.serving.gateway_connection:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    port: 8080
    local_port: 0
    timeout: 60
"""

RETURN = r"""
address:
  description: Where the gateway was reached.
  type: str
  returned: when it was opened and not lost
  sample: http://127.0.0.1:8080
"""
