"""rendernoise."""
