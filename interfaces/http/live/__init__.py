"""Live events over the WebSocket and SSE."""
