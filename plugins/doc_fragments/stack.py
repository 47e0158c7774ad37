"""What the modules that act on the stack have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of where the stack is on the instance."""

    DOCUMENTATION = r"""
options:
  root:
    description: The directory that holds C(releases) and the links C(current) and C(verified).
    type: path
    default: /opt/slm-ft-serving
  project:
    description: The compose project.
    type: str
    default: slm-ft-serving
  unit:
    description: The systemd unit that starts the stack at boot.
    type: str
    default: slm-ft-serving.service
"""
