"""Tests that hear and speak through a sound server with virtual devices."""
