"""How a stream of live events is read: over as many connections as it takes, each event once.

`wanted` says what is asked for and how far it has come, `frames` what the service says, `patience`
how long an outage is borne. `listening` reads a WebSocket on an event loop, into a `buffer`;
`reading` reads server-sent events in plain code; `watching` asks for one task's status instead.
"""
