"""State: the engine, every table on one page, and the steps from one schema to the next."""
