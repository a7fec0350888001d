"""How the demo checkpoint was made: the one place that may use PyTorch."""
