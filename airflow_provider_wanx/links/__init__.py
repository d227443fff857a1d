"""Extra links: buttons on a task's page that lead to the service, to the results and to the gallery."""
