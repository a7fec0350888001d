"""Damaged, foreign and hostile inputs of every kind, and programs killed at any moment.

A kind (`kinds.py`) makes a mutant from its seed: the same seed, the same mutant. Every mutant
is run in a child with limits (`forks.py`) and looked at (`verdict.py`): success, or one
sentence; nothing else. To look at one that failed:

    python -m tests.robustness KIND SEED FOLDER
"""
