"""The policies of instance and operators, evaluated by IAM's rules for the calls that the playbooks' tests recorded."""
