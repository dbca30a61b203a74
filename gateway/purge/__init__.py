"""What ends, and when."""
