"""Server: builds the parts from the settings, and runs the application in one or more processes."""
