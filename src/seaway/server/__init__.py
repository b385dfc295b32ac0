"""Settings -> running parts -> the application -> a process that serves."""
