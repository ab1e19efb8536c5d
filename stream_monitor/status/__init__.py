"""How the service is and what it has found, as documents, pages of them, and Prometheus metrics."""
