"""What is true: aggregates, their events, and the pure rules between them."""
