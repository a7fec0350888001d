"""Scores of a model in public benchmarks.

`benchmarks/` reads their data, asks their questions and judges the answers; `running` does all
items of one, several at a time, and writes each into a results file (`results`); `scores` makes
figures with intervals of them, `comparison` compares two models on the same items, `picture` draws.
`judge` writes down spoken answers. `toolkit` is the other way round: this engine as a model of the
public MiMo-Audio-Eval.
"""
