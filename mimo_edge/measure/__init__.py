"""What measures: times, distances, what a machine and a bundle can do."""
