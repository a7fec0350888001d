"""What the model is asked, from words and recordings to positions of the backbone."""
