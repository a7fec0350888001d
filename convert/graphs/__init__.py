"""The graphs of a bundle, one module each, and the layers that they are made of."""
