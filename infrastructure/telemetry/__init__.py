"""What the process tells of itself: logs and figures."""
