"""Set before numpy is imported, for the tests and all programs that they start."""

import os

# OpenBLAS wakes a thread for every core, also for products of small matrices, and whoever is done
# first spins: the tests' conversions then take up to twenty times as long on a machine with other
# work, and twice the processor time on an idle one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
