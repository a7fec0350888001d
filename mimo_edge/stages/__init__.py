"""The parts of a model: what each of them computes, and where."""
