"""What moves money, and what makes sure that it moves once."""
