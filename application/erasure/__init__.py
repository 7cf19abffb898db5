"""What is personal in tasks: encrypted under a key of its subject before it reaches the log, shown
in clear to whoever may read the task, and gone for everybody when the key is destroyed."""
