"""Sound in and out: files, arrays, mixing, resampling, log-mel, where speech is."""
