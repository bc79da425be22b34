"""Arguments to operations: one pure function for each call that EnKash documents."""
