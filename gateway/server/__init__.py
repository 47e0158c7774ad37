"""How requests come in: the connections with their limits, and the server that accepts and drains them."""
