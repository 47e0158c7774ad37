"""AWS's API of a local region: moto, the calls that it lacks, and EC2 states that follow a container."""
