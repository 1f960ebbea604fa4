"""The web server's side: limits, validation of requests, device token, queue, login."""
