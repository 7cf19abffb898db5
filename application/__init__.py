"""What can be done: commands, queries, projections, processes, and the ports that they need."""
