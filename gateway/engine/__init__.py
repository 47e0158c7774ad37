"""The one client of the engine, with what protects it: a gate, a circuit breaker, a readiness probe."""
