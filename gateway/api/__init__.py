"""The HTTP interface: routes, the middleware before them, and the shape of requests and answers."""
