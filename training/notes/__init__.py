"""Generated text: synthetic notes, public notes with other values, and documents for pre-training."""
