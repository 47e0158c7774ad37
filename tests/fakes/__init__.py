"""Stand-ins for what the tests must not reach: the engine, AWS, the Hugging Face Hub and the trainer's container."""
