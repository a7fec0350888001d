"""Files that `mimo-edge pack` puts into every folder: what starts the model on another machine."""
