"""What the endpoints share of HTTP: reading bodies, problem documents, responses in parts."""
