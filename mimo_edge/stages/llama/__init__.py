"""llama.cpp: its libraries and log, contexts and sequences, and ending what it computes."""
