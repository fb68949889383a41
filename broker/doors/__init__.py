"""Where clients come in: the web door (WebSocket and HTTP on one port) and the TCP door."""
