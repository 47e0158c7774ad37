"""What a run came to: the model's answers, their scores, the curves and the model card."""
