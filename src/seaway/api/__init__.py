"""What clients call: one file for each dialect. The faces do not know each other."""
