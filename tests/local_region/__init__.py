"""An AWS region on one machine: stands in for AWS, and for nothing of ours.

`region` is what tests and commands use; `aws_api` answers the calls; `docker` has engine, images, registry, instance.
"""
