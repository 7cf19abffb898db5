"""Every route of the service: parameters in, requests out. Nothing here is sent."""
