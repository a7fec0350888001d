"""The voice library: recordings in a folder, and the endpoints that list, add and delete them."""
