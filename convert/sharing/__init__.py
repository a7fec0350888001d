"""Bundles on their way to other machines: packed for a stick, over a folder, over a hub."""
