"""What comes in and goes out over HTTP: bodies within limits, parameters, errors, streams."""
