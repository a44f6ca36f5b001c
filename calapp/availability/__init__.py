"""When: weekly hours, date overrides and the slots they open."""
