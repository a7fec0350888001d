"""Devices that cannot exist on a test machine."""
