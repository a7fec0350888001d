"""Speech through the model, so that weights are rounded where it costs the sound least."""
