"""The wire contract, held against a running box: real clients, real sockets, a real SQLite file."""
