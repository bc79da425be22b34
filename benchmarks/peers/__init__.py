"""What people would use instead, each in a file of its own and used as its own pages show."""
