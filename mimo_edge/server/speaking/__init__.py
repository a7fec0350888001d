"""`POST /v1/audio/speech`: a text as sound, sent while it is made."""
