"""The command line. Modules are imported when a command needs them, so that `--help` is fast."""
