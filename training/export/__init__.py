"""A base and its adapter as one GGUF file, which llama.cpp reads; in need of numpy, and not of torch."""
