"""onnxruntime: graphs, their contracts, what computes them."""
