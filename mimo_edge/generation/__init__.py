"""One answer: positions, sampling, text, sound."""
