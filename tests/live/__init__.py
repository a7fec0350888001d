"""The conversation through microphone and speaker, with simulated clocks and devices."""
