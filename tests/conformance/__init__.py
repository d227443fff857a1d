"""What a client can observe of the service, as a list of facts, asked of the local DashScope or of the live service."""
