"""The language model as a GGUF file: writing it, quantizing it, importance matrices."""
