"""This machine: which part computes where on it, with how many threads, and whether it fits."""
