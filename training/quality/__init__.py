"""What quantization costs: every recipe measured on the demo model, against `reference`."""
