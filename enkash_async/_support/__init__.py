"""What every room may use: argument checks, exact JSON, secrets, forks, time."""
