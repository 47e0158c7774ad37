"""What a long run keeps: progress, metrics, checkpoints, and requests to stop."""
