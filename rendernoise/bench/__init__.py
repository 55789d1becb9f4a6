"""``rendernoise bench``: denoisers measured against references."""
