"""Checkpoint → bundle: reads the public safetensors, writes GGUF and ONNX, never PyTorch."""
