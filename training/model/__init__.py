"""The model: its tokenizer and batches, the small Llama, a base to be adapted, and the LoRA adapter."""
