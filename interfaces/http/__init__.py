"""HTTP: requests become commands and queries, answers and refusals become JSON."""
