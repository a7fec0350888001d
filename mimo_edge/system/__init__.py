"""What the computer offers: processor cores, memory, and what other programs take of them."""
