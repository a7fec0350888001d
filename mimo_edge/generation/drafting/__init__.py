"""Guesses at the text that comes next, so that one reading of the weights gives several ids of it.

A guess never changes an answer: every position is drawn from what the model says there, with the
random numbers of that position. A right guess saves a reading, a wrong one costs a row of a batch.
"""
