"""Who may come in: API keys, and the credentials with which Kafka lets the service in."""
