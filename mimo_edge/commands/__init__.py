"""The command line: the only place that knows option names, terminals and signals."""
