"""Microphone and speaker, through PortAudio."""
