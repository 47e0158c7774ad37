"""Signed repositories of stub packages, on an instance that can install from them.

For the roles that install Docker and NVIDIA's runtime. The stubs bear the names and versions of the real packages; what
they install is a fake of this folder, or the instance's own Docker.
"""
