"""Online learning: networks that decide and learn as data come."""
