"""The HTTP side: the service's endpoints with their faults, the control API and the page at ``/``."""
