"""The cinema: showings, seats, holds and bookings. plugin.py is what the box sees of it."""
