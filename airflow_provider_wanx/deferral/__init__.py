"""What operators and sensors do around a deferral: the deadline, the wait, and what follows from its event."""
