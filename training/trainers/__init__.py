"""The training itself: pre-training of the base, and fine-tuning of the adapter."""
