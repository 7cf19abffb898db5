"""Time travel: what the log held at any moment, of one thing and of all.

`frame` is everything of a tenant at a position, folded by the projections of the live read models.
`frames` makes it from the nearest frame that was kept and the events behind that; `keeper` keeps
one now and then. `things` reads one task or agent as of a moment; `search` finds the event that
made a predicate true.
"""
