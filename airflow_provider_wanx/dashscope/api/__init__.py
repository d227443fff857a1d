"""Requests to every endpoint of the service, and how their answers are read. Nothing here sends anything."""
