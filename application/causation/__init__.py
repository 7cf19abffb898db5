"""The graph of causes and effects, across tasks and agents."""
