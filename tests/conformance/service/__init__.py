"""What is done at the service, once for all facts: requests, tasks, pictures, and the images that they may cost."""
