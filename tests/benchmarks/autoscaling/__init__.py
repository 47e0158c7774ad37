"""How many instances, and who says when: policies tried on generated arrivals, by simulation."""
