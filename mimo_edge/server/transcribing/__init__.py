"""`POST /v1/audio/transcriptions`: what is said in a recording, as text."""
