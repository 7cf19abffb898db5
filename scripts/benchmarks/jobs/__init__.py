"""What runs in a process of its own: each module is a program, told what to do in JSON."""
