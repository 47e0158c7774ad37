"""Training of the models that are served: data, base pre-training, LoRA adapter and evaluation."""
