"""The folder of a model: its manifest, its files, and what they must be like before any native
library sees them.
"""
