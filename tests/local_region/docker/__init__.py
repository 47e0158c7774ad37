"""What a local region runs on Docker: the engine itself, images, the registry and the instance."""
