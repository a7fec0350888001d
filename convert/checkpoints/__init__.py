"""Reading the published checkpoints: downloads, folders, configs, tensors, text tokenizer."""
