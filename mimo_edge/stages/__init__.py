"""The parts of a model: what each of them computes, and where."""

import os

# Between two operators llama.cpp's threads wait for each other, in GCC's OpenMP, which reads this
# when it is loaded: so it is set before any module of this folder loads it. By default a thread
# that waits keeps its core busy for 300,000 turns. If another program wants a core meanwhile, the
# thread that is waited for may be the one that has none: a step takes ten times as long. 3,000
# turns, some microseconds, are as fast on idle cores. Whoever has chosen something else keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
